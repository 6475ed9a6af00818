\echo Use "CREATE EXTENSION commerce" to load this file. \quit

-- sql/install/base/schemas.sql

-- A database that will not do is told before anything is made in it.
DO $$
BEGIN
	IF pg_catalog.getdatabaseencoding() <> 'UTF8' THEN
		RAISE EXCEPTION 'commerce needs a database with the encoding UTF8; that of this one is %', pg_catalog.getdatabaseencoding()
			USING ERRCODE = 'object_not_in_prerequisite_state',
				  HINT = 'CREATE DATABASE ... TEMPLATE template0 ENCODING ''UTF8''';
	END IF;
END
$$;

-- The schemas, first of all, and plainly: a schema that is there already ends the script, and with it whatever
-- its owner has put into it. commerce.control says pg_catalog for the same reason: CREATE EXTENSION would take
-- over a schema that has the name.

CREATE SCHEMA commerce;
COMMENT ON SCHEMA commerce IS 'Shop: what people read and call; see grant_app()';

CREATE SCHEMA commerce_private;
COMMENT ON SCHEMA commerce_private IS 'Shop: what only the extension itself, its relay and its operator use';

CREATE SCHEMA commerce_archive;
COMMENT ON SCHEMA commerce_archive IS 'Shop: orders that are long over, by month; see archive()';

CREATE SCHEMA commerce_api;
COMMENT ON SCHEMA commerce_api IS
	'Shop: catalogue, balance, coupons, orders and payment, and what sellers and administrators do. Amounts are whole numbers of the smallest unit of commerce.currency';

CREATE FUNCTION commerce_private.require_library()
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_require_library';
COMMENT ON FUNCTION commerce_private.require_library() IS
	'refuses unless the library in memory can serve this version of the extension: what each script calls first';
SELECT commerce_private.require_library();

-- sql/install/base/types.sql

-- Types: the words of the domain.

CREATE TYPE commerce.user_role AS ENUM ('BUYER', 'SELLER', 'ADMIN');
COMMENT ON TYPE commerce.user_role IS 'what a user is in the shop';

CREATE TYPE commerce.user_status AS ENUM ('ACTIVE', 'SUSPENDED', 'WITHDRAWN');
COMMENT ON TYPE commerce.user_status IS 'only an ACTIVE user may charge, order, claim or make order sheets';

CREATE TYPE commerce.product_status AS ENUM ('ON_SALE', 'SOLD_OUT', 'DISCONTINUED');
COMMENT ON TYPE commerce.product_status IS 'SOLD_OUT is never stored: views show it for an ON_SALE product with nothing available';

CREATE TYPE commerce.coupon_kind AS ENUM ('FIXED', 'PERCENT', 'FREE_SHIPPING');
COMMENT ON TYPE commerce.coupon_kind IS 'how a coupon or a promotion takes money off';

CREATE TYPE commerce.coupon_scope AS ENUM ('ORDER', 'SELLER', 'PRODUCT');
COMMENT ON TYPE commerce.coupon_scope IS 'what a coupon counts on: the whole order, the lines of one seller, or one product';

CREATE TYPE commerce.coupon_status AS ENUM ('SCHEDULED', 'ACTIVE', 'EXHAUSTED', 'EXPIRED', 'STOPPED');
COMMENT ON TYPE commerce.coupon_status IS 'a coupon as the view coupon_list shows it; never stored';

CREATE TYPE commerce.coupon_issue_status AS ENUM ('ACTIVE', 'USED', 'EXPIRED', 'REVOKED');
COMMENT ON TYPE commerce.coupon_issue_status IS 'state of one user''s coupon';

CREATE TYPE commerce.order_status AS ENUM
	('PENDING_PAYMENT', 'PAID', 'PARTIALLY_CANCELLED', 'COMPLETED', 'CANCELLED', 'REFUNDED');
COMMENT ON TYPE commerce.order_status IS 'state of an order, derived from its payment and its items';

CREATE TYPE commerce.order_item_status AS ENUM
	('PENDING_PAYMENT', 'PAID', 'PREPARING', 'DISPATCHED', 'IN_TRANSIT', 'DELIVERED', 'CONFIRMED',
	 'CANCEL_REQUESTED', 'CANCEL_PROCESSING', 'CANCELLED',
	 'RETURN_REQUESTED', 'RETURN_PROCESSING', 'RETURNED',
	 'EXCHANGE_REQUESTED', 'EXCHANGE_PROCESSING', 'EXCHANGED');
COMMENT ON TYPE commerce.order_item_status IS 'state of the units of one order_items row';

CREATE TYPE commerce.actor_kind AS ENUM ('BUYER', 'SELLER', 'ADMIN', 'SYSTEM');
COMMENT ON TYPE commerce.actor_kind IS 'who made a change';

CREATE TYPE commerce.payment_kind AS ENUM ('PAYMENT', 'REFUND', 'CHARGE');
COMMENT ON TYPE commerce.payment_kind IS 'what a payment is for: an order, to give money back, or a charge of the balance';

CREATE TYPE commerce.payment_method AS ENUM ('BALANCE', 'EXTERNAL');
COMMENT ON TYPE commerce.payment_method IS 'BALANCE: prepaid, paid at once; EXTERNAL: a payment provider answers later';

CREATE TYPE commerce.payment_status AS ENUM ('REQUESTED', 'COMPLETED', 'FAILED', 'EXPIRED', 'UNEXPECTED');
COMMENT ON TYPE commerce.payment_status IS 'state of a payment; UNEXPECTED: money that came and was not asked for';

CREATE TYPE commerce.balance_entry_kind AS ENUM ('CHARGE', 'PAYMENT', 'REFUND', 'ADJUST', 'OPENING');
COMMENT ON TYPE commerce.balance_entry_kind IS 'why a balance changed; OPENING: what was imported, or the sum of entries that were archived';

CREATE TYPE commerce.stock_reason AS ENUM ('INITIAL', 'ADJUST', 'ORDER', 'CANCEL', 'RETURN', 'EXPIRE', 'EXCHANGE', 'TRANSFER', 'OPENING');
COMMENT ON TYPE commerce.stock_reason IS 'why stock changed; OPENING: the sum of entries that were archived';

CREATE TYPE commerce.quota_reason AS ENUM ('INITIAL', 'CHANGE', 'TRANSFER');
COMMENT ON TYPE commerce.quota_reason IS 'why there may be more of a coupon, or fewer';

CREATE TYPE commerce.unit_kind AS ENUM ('STOCK', 'QUOTA');
COMMENT ON TYPE commerce.unit_kind IS 'what moves between cells: units of a product, or of a coupon';

-- sql/install/base/key.sql

-- Transaction ids are stored as bigint, which every driver reads.
CREATE FUNCTION commerce_private.to_key(xid xid8)
RETURNS bigint
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_to_key';
COMMENT ON FUNCTION commerce_private.to_key(xid8) IS 'a transaction id as the tables have it; no cast leads there';

-- sql/install/base/errors.sql

-- Errors: the table of codes lives in C (src/base/error_codes.h); these functions show it and raise from it.

CREATE FUNCTION commerce.error_codes(
	OUT http_status int, OUT code text, OUT "sqlstate" text, OUT message text, OUT message_ko text, OUT detail_keys text)
RETURNS SETOF record
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_error_codes';
COMMENT ON FUNCTION commerce.error_codes() IS
	'every error the extension raises: HTTP status, code, SQLSTATE, its message in English and Korean, and the keys that its detail, a JSON object, can have';

CREATE FUNCTION commerce_private.error_texts(OUT reason text, OUT sentence text, OUT sentence_ko text)
RETURNS SETOF record
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_error_texts';
COMMENT ON FUNCTION commerce_private.error_texts() IS
	'why, as the details of errors have it, with the sentence that is the hint; NULL: a hint without such a word';

CREATE FUNCTION commerce_private.raise_error(code text, detail jsonb DEFAULT NULL, hint text DEFAULT NULL)
RETURNS void
LANGUAGE C VOLATILE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_raise_error';
COMMENT ON FUNCTION commerce_private.raise_error(text, jsonb, text) IS
	'raises an error of error_codes() in the face the caller needs (SQLSTATE in SQL, PostgREST''s JSON over HTTP); detail: an object with keys that the table has for the code';

CREATE FUNCTION commerce_private.raise_invalid(argument text, reason text, hint text DEFAULT NULL)
RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT commerce_private.raise_error('INVALID_REQUEST',
		pg_catalog.jsonb_build_object('argument', argument, 'reason', reason), hint)
$$;
COMMENT ON FUNCTION commerce_private.raise_invalid(text, text, text) IS
	'raises INVALID_REQUEST: what is wrong with an argument, as a fragment that goes on from its name';

CREATE FUNCTION commerce_private.raise_not_found(entity text, id anyelement)
RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT commerce_private.raise_error('ENTITY_NOT_FOUND',
		pg_catalog.jsonb_build_object('entity', entity, 'id', id))
$$;
COMMENT ON FUNCTION commerce_private.raise_not_found(text, anyelement) IS 'raises ENTITY_NOT_FOUND; id: a number, or a name';

CREATE FUNCTION commerce_private.request_header(name text)
RETURNS text
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_request_header';
COMMENT ON FUNCTION commerce_private.request_header(text) IS
	'value of a header (name in lower case) of the HTTP request that PostgREST is serving';

CREATE FUNCTION commerce_private.setting(name text)
RETURNS text
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_setting';
COMMENT ON FUNCTION commerce_private.setting(text) IS
	'current_setting() of one of the extension''s own settings, which a session does not know before it has loaded the library';

CREATE FUNCTION commerce_private.local_date(at timestamptz DEFAULT pg_catalog.now())
RETURNS date
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_local_date';
COMMENT ON FUNCTION commerce_private.local_date(timestamptz) IS
	'the calendar day of a moment in commerce.timezone; without an argument: today. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.check_text(argument text, value text)
RETURNS void
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_check_text';
COMMENT ON FUNCTION commerce_private.check_text(text, text) IS
	'refuses a text that is longer than what an argument of the name may have (src/base/text_limit.c). Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.check_texts(argument text, elements text[])
RETURNS void
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_check_texts';
COMMENT ON FUNCTION commerce_private.check_texts(text, text[]) IS
	'refuses an array with a text that is too long, or with more than 1000 elements. Errors: INVALID_REQUEST';

-- sql/install/base/arguments.sql

-- What functions ask of their arguments, beside what errors.sql has.

CREATE FUNCTION commerce_private.check_metadata(metadata jsonb)
RETURNS void
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_check_metadata';
COMMENT ON FUNCTION commerce_private.check_metadata(jsonb) IS
	'raises INVALID_REQUEST unless metadata is an object of at most 16 384 bytes, or NULL';

CREATE FUNCTION commerce_private.check_amount(argument text, value bigint)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF check_amount.value NOT BETWEEN 0 AND 1000000000000 THEN
		PERFORM commerce_private.raise_invalid(check_amount.argument, 'must be between 0 and 1 000 000 000 000');
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.check_amount(text, bigint) IS
	'raises INVALID_REQUEST when money is negative or above 1 000 000 000 000. NULL passes';

CREATE FUNCTION commerce_private.is_time(at timestamptz)
RETURNS boolean
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_is_time';
COMMENT ON FUNCTION commerce_private.is_time(timestamptz) IS
	'whether a time can be kept: finite, and of a year from 1 to 9999, as RFC 3339 has them';

CREATE FUNCTION commerce_private.read_time(given text)
RETURNS timestamptz
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_read_time';
COMMENT ON FUNCTION commerce_private.read_time(text) IS
	'a time as requests write it, 2026-12-01T09:00:00+09:00; without an offset it is in commerce.timezone, and a day alone is its midnight. NULL: it is none';

CREATE FUNCTION commerce_private.check_time(argument text, value timestamptz)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT commerce_private.is_time(check_time.value) THEN
		PERFORM commerce_private.raise_invalid(check_time.argument, 'must be finite, and of a year from 1 to 9999');
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.check_time(text, timestamptz) IS
	'raises INVALID_REQUEST for what is_time() refuses. NULL passes';

CREATE FUNCTION commerce_private.check_end(argument text, value timestamptz, start timestamptz)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.check_time(check_end.argument, check_end.value);
	IF check_end.value <= check_end.start THEN
		PERFORM commerce_private.raise_invalid(check_end.argument, 'must be after its start');
	END IF;
	IF check_end.value <= pg_catalog.statement_timestamp() THEN
		PERFORM commerce_private.raise_invalid(check_end.argument, 'must not be past');
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.check_end(text, timestamptz, timestamptz) IS
	'raises INVALID_REQUEST unless an end is finite, after its start and to come. NULL passes';

-- What every update_...() takes: attributes, of which NULL leaves the value there is, and names of those to be emptied.
CREATE FUNCTION commerce_private.changes(given jsonb, clear text[], clearable text[])
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	result jsonb;
	attribute text;
BEGIN
	SELECT coalesce(pg_catalog.jsonb_object_agg(g.key, g.value), '{}') INTO result
	FROM pg_catalog.jsonb_each(given) g WHERE g.value <> 'null';
	FOREACH attribute IN ARRAY coalesce(clear, '{}') LOOP
		IF NOT coalesce(given ? attribute, false) THEN
			PERFORM commerce_private.raise_invalid('clear',
				pg_catalog.format('names %s, which is no attribute', coalesce(attribute, 'NULL')));
		ELSIF attribute <> ALL (clearable) THEN
			PERFORM commerce_private.raise_invalid('clear', pg_catalog.format('names %s, which must have a value', attribute));
		ELSIF given->attribute <> 'null' THEN
			PERFORM commerce_private.raise_invalid('clear', pg_catalog.format('names %s, which is given as well', attribute));
		END IF;
		result := result || pg_catalog.jsonb_build_object(attribute, NULL);
	END LOOP;
	RETURN result;
END
$$;
COMMENT ON FUNCTION commerce_private.changes(jsonb, text[], text[]) IS
	'what an update_...() changes, for jsonb_populate_record(): the attributes that are given, and NULL for those that clear names. clear has passed check_texts(). given: all attributes that can be changed, null when not given; clearable: those that need no value. Errors: INVALID_REQUEST';

-- sql/install/base/attempt.sql

-- Errors are caught here alone: what PL/pgSQL catches by itself a caller may turn against us (src/base/attempt.c).

CREATE FUNCTION commerce_private.attempt(
	caught text[], function regprocedure, VARIADIC arguments "any",
	OUT result text, OUT sqlstate text, OUT message text, OUT constraint_name text)
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_attempt';
COMMENT ON FUNCTION commerce_private.attempt(text[], regprocedure, "any") IS
	'calls a function in a subtransaction, and answers its result as text, or the error for which that was rolled back; sqlstate NULL: there was none. caught: which errors, each by the beginning of its SQLSTATE or by the unique constraint that it breaks; NULL: all but those that say that the server is in trouble (SQLSTATE 53, 57, 58, XX). Any other is raised. Arguments have just the types that the function takes';

-- sql/install/base/currency.sql

-- The shop's one currency: the setting commerce.currency, fixed once there are orders.

CREATE TABLE commerce_private.fixed_currency (
	single boolean PRIMARY KEY DEFAULT true CHECK (single),
	code   text NOT NULL
);
COMMENT ON TABLE commerce_private.fixed_currency IS 'the currency that the orders of the shop are in; no row: KRW, or there are no orders';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.fixed_currency', '');

CREATE FUNCTION commerce_private.require_currency()
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_require_currency';
COMMENT ON FUNCTION commerce_private.require_currency() IS
	'before an order is inserted: fixes the shop''s currency with the first one. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.shop_currency(OUT code text, OUT decimals int)
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_shop_currency';
COMMENT ON FUNCTION commerce_private.shop_currency() IS
	'the shop''s currency by ISO 4217, and with how many digits after the point it is written: amounts are in its smallest unit';

-- sql/install/escrow/escrow.sql

-- Escrow: what keeps stock and coupon quota exact. The journals and the narrow rows they are folded
-- into belong to their domains (stock: shop/stock.sql, quota: shop/quota.sql).

CREATE TABLE commerce_private.gate ();
COMMENT ON TABLE commerce_private.gate IS
	'never holds a row: every operation of the extension locks it ROW EXCLUSIVE, a write past the extension SHARE ROW EXCLUSIVE, so that the two never run side by side';

CREATE TABLE commerce_private.origin (
	system_identifier bigint PRIMARY KEY,
	timeline          bigint NOT NULL,
	era               bigint NOT NULL,
	recorded_at       timestamptz NOT NULL DEFAULT pg_catalog.now(),
	rebase_mark       bigint,
	rebase_step       int    NOT NULL DEFAULT 1,
	rebase_done_to    bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE commerce_private.origin IS
	'the cluster that the transaction ids in the journals belong to; written at first use. A dump restored elsewhere is recognised by it';
COMMENT ON COLUMN commerce_private.origin.system_identifier IS 'of pg_control_system()';
COMMENT ON COLUMN commerce_private.origin.timeline IS 'of the write-ahead log; another one means that history may have been cut: a new era begins';
COMMENT ON COLUMN commerce_private.origin.era IS 'number of the outbox''s era that is written now';
COMMENT ON COLUMN commerce_private.origin.rebase_mark IS 'while what came from another cluster is made this one''s: the mark that everything gets; NULL: that is done';
COMMENT ON COLUMN commerce_private.origin.rebase_step IS 'how far that has come, by rebase_batch()';
COMMENT ON COLUMN commerce_private.origin.rebase_done_to IS 'within the step: ids up to this are done';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.origin', '');

-- Triggers for writes that do not come from the extension's own functions: of rows, which replication
-- fires as well, and of statements, so that the gate is taken before a row that an order may want.
CREATE FUNCTION commerce_private.gate_foreign_write()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'commerce_gate_foreign_write';
COMMENT ON FUNCTION commerce_private.gate_foreign_write() IS
	'waits for running orders, and keeps new ones out until this transaction has ended';

CREATE TRIGGER gate_write BEFORE INSERT OR UPDATE OR DELETE ON commerce_private.origin
	FOR EACH ROW EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce_private.origin ENABLE ALWAYS TRIGGER gate_write;
CREATE TRIGGER gate_statement BEFORE UPDATE OR DELETE OR TRUNCATE ON commerce_private.origin
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce_private.origin ENABLE ALWAYS TRIGGER gate_statement;

CREATE FUNCTION commerce_private.next_era(former bigint)
RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT greatest(coalesce(next_era.former, 0) + 1, extract(epoch FROM pg_catalog.clock_timestamp())::bigint)
$$;
COMMENT ON FUNCTION commerce_private.next_era(bigint) IS
	'number of the era after one: seconds since 1970, so that no two histories that go on from one backup have the same';

CREATE FUNCTION commerce.open_era()
RETURNS bigint
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_open_era';
COMMENT ON FUNCTION commerce.open_era() IS
	'begins a new era of the events and returns its number: to be called once, before anything else, on a server that was started from a copy of another''s data directory or volume without recovery to a timeline of its own. After a promotion, a recovery to a point in time, or the restore of a dump it happens by itself';

CREATE FUNCTION commerce_private.close_gate()
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_close_gate';
COMMENT ON FUNCTION commerce_private.close_gate() IS
	'waits for running orders, keeps new ones out until this transaction has ended, and makes all counters stale';

CREATE FUNCTION commerce.reload_counters()
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t record;
BEGIN
	PERFORM commerce_private.close_gate();
	-- ENABLE TRIGGER, which is in dumps too, forgets the ALWAYS
	FOR t IN SELECT g.tgrelid::regclass AS relation, g.tgname FROM pg_catalog.pg_trigger g
			 WHERE g.tgfoid = 'commerce_private.gate_foreign_write()'::regprocedure AND g.tgenabled <> 'A'
			 ORDER BY 1
	LOOP
		EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.relation, t.tgname);
	END LOOP;
END
$$;
COMMENT ON FUNCTION commerce.reload_counters() IS
	'after a write to the tables with their triggers disabled: enables the gate''s triggers always, and has all counters in shared memory read again from the tables; waits for running orders';

CREATE FUNCTION commerce_private.escrow_counters(
	OUT journal regclass, OUT resource_id bigint, OUT available bigint, OUT in_flight bigint, OUT pins int,
	OUT waiters int, OUT loads bigint, OUT evictions bigint, OUT taken bigint)
RETURNS SETOF record
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_escrow_counters';
COMMENT ON FUNCTION commerce_private.escrow_counters() IS 'the counters in shared memory of this database; see the view escrow';

CREATE VIEW commerce.escrow AS
	SELECT CASE c.journal WHEN pg_catalog.to_regclass('commerce.stock_entries') THEN 'stock' ELSE 'quota' END AS kind,
		   c.resource_id, c.available, c.in_flight, c.pins, c.waiters, c.loads, c.evictions
	FROM commerce_private.escrow_counters() c
	WHERE c.journal IN (pg_catalog.to_regclass('commerce.stock_entries'), pg_catalog.to_regclass('commerce.coupon_issues'));
COMMENT ON VIEW commerce.escrow IS
	'the counters that stock and coupon quota are checked against, as they are now; empty when the library is not preloaded';
COMMENT ON COLUMN commerce.escrow.kind IS 'stock: of a product; quota: of a coupon';
COMMENT ON COLUMN commerce.escrow.resource_id IS 'product id or coupon id';
COMMENT ON COLUMN commerce.escrow.available IS 'units that a take can have at once; NULL: read from the tables at the next use';
COMMENT ON COLUMN commerce.escrow.in_flight IS 'units taken by transactions that have not ended';
COMMENT ON COLUMN commerce.escrow.pins IS 'transactions that have taken or given units and have not ended';
COMMENT ON COLUMN commerce.escrow.waiters IS 'sessions that wait for units in flight to come back or to be sold';
COMMENT ON COLUMN commerce.escrow.loads IS 'how often it was read from the tables since it got its place';
COMMENT ON COLUMN commerce.escrow.evictions IS 'of the whole server since its start: how often a counter lost its place to another';

-- What other cells have, as commerce-mover says it, and what is wanted of them.
CREATE FUNCTION commerce.set_elsewhere(kind commerce.unit_kind, resource_ids bigint[], units bigint[])
RETURNS void
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_set_elsewhere';
COMMENT ON FUNCTION commerce.set_elsewhere(commerce.unit_kind, bigint[], bigint[]) IS
	'says how many units of products or coupons other cells have at this moment, of those that have a counter in shared memory: who is short is refused at once for the second in which there are not enough elsewhere either. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce.wait_for_wants(timeout interval)
RETURNS TABLE (kind commerce.unit_kind, resource_id bigint, wanted bigint, available bigint)
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_wait_for_wants';
COMMENT ON FUNCTION commerce.wait_for_wants(interval) IS
	'what was asked for here in vain since it was told last: units that those wanted who wait for units of other cells, and units that are available here. Waits for the first of it, so long at most; without preloading always so long, for nothing. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.stock_elsewhere(product_id bigint)
RETURNS bigint
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_stock_elsewhere';
COMMENT ON FUNCTION commerce_private.stock_elsewhere(bigint) IS 'units of a product that other cells have, as set_elsewhere() said last; 0: it did not';

CREATE FUNCTION commerce_private.quota_elsewhere(coupon_id bigint)
RETURNS bigint
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_quota_elsewhere';
COMMENT ON FUNCTION commerce_private.quota_elsewhere(bigint) IS 'units of a coupon that other cells have, as set_elsewhere() said last; 0: it did not';

CREATE FUNCTION commerce_private.nothing_elsewhere(product_id bigint)
RETURNS boolean
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'commerce_nothing_elsewhere';
COMMENT ON FUNCTION commerce_private.nothing_elsewhere(bigint) IS 'whether no other cell has units of a product: there is no other, or it was said a moment ago';

CREATE FUNCTION commerce.fold()
RETURNS bigint
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_fold';
COMMENT ON FUNCTION commerce.fold() IS
	'adds finished journal entries to stock.on_hand and coupon_quota.on_hand and returns how many products and coupons it moved; never changes what is available';

CREATE VIEW commerce.horizon AS
	SELECT h.kind, h.database, h.holder, h.since, h.xid, pg_catalog.age(coalesce(h.xid, h.xmin)) AS age,
		   h.xid IS NOT NULL AS holds_folding, h.detail
	FROM (SELECT 'session' AS kind, a.datname AS database, a.pid::text AS holder, a.xact_start AS since,
				 a.backend_xid AS xid, a.backend_xmin AS xmin,
				 pg_catalog.concat_ws(' ', a.usename, a.application_name, a.state) AS detail
		  FROM pg_catalog.pg_stat_activity a
		  WHERE (a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL) AND a.pid <> pg_catalog.pg_backend_pid()
		  UNION ALL
		  SELECT 'prepared', p.database, p.gid, p.prepared, p.transaction, NULL, p.owner
		  FROM pg_catalog.pg_prepared_xacts p
		  UNION ALL
		  SELECT 'slot', s.database, s.slot_name, NULL, NULL, coalesce(s.xmin, s.catalog_xmin),
				 CASE WHEN s.active THEN 'active' ELSE 'inactive' END
		  FROM pg_catalog.pg_replication_slots s
		  WHERE s.xmin IS NOT NULL OR s.catalog_xmin IS NOT NULL) h
	ORDER BY holds_folding DESC, age DESC;
COMMENT ON VIEW commerce.horizon IS
	'what holds the transaction id horizon back, in all databases, the oldest first. Events written after a transaction that has an id, and is still running, are not delivered, and entries not folded, until it ends. Other sessions'' transactions are shown to superusers and members of pg_read_all_stats';
COMMENT ON COLUMN commerce.horizon.kind IS 'session, prepared (a prepared transaction) or slot (a replication slot)';
COMMENT ON COLUMN commerce.horizon.holder IS 'process id for pg_terminate_backend(), name for ROLLBACK PREPARED, or name of the slot';
COMMENT ON COLUMN commerce.horizon.age IS 'how many transaction ids have been given since';
COMMENT ON COLUMN commerce.horizon.holds_folding IS 'holds back delivery and folding; the others only keep VACUUM from removing old rows';

-- sql/install/shop/cell.sql

-- Cells: a shop on several databases. Each cell gives out ids of a range of its own, so that an id says where its row is.

CREATE TABLE commerce_private.cell (
	number int PRIMARY KEY CHECK (number BETWEEN 0 AND 8999),
	set_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE UNIQUE INDEX cell_one_row ON commerce_private.cell ((true));
COMMENT ON TABLE commerce_private.cell IS 'one row: which cell of the shop this database is, by set_cell(); none: the shop has one, which is cell 0';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.cell', '');

CREATE FUNCTION commerce.cell_of(id bigint)
RETURNS int
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_cell_of';
COMMENT ON FUNCTION commerce.cell_of(bigint) IS
	'the cell that gave out an id: the id divided by 10^12. The rows of a user, orders and all, are in the cell of the user''s id';

CREATE FUNCTION commerce.cell_of_sheet(order_sheet_id uuid)
RETURNS int
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_cell_of_sheet';
COMMENT ON FUNCTION commerce.cell_of_sheet(uuid) IS
	'the cell of an order sheet, which is that of its user: the last 14 bits of its id. NULL for an id that no sheet can have';

CREATE FUNCTION commerce.cell_number()
RETURNS int
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce((SELECT c.number FROM commerce_private.cell c), 0)
$$;
COMMENT ON FUNCTION commerce.cell_number() IS 'which cell of the shop this database is; 0 unless set_cell() said otherwise';

CREATE FUNCTION commerce_private.check_cell(argument text, cell int, lowest int)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF cell IS NULL OR cell NOT BETWEEN lowest AND 8999 THEN
		PERFORM commerce_private.raise_invalid(argument, pg_catalog.format('must be from %s to 8999', lowest));
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.check_cell(text, int, int) IS 'refuses an argument that is not the number of a cell, or is one below lowest. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.is_replicated()
RETURNS boolean
LANGUAGE C STABLE
AS 'MODULE_PATHNAME', 'commerce_is_replicated';
COMMENT ON FUNCTION commerce_private.is_replicated() IS 'whether what this session writes arrives by a subscription';

CREATE VIEW commerce_private.id_columns AS
	SELECT c.oid::regclass AS relation, a.attname AS name,
		   pg_catalog.pg_get_serial_sequence(c.oid::regclass::text, a.attname)::regclass AS sequence,
		   pg_catalog.to_regclass('commerce_archive.' || pg_catalog.quote_ident(c.relname)) AS archive
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attidentity <> ''
	WHERE c.relkind = 'r' AND c.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace);
COMMENT ON VIEW commerce_private.id_columns IS 'the columns with ids that sequences give out, and where archived rows with such ids are';

CREATE FUNCTION commerce_private.place_sequence(ids commerce_private.id_columns, lowest bigint, highest bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	relation regclass;
	given bigint;
	newest bigint;
BEGIN
	EXECUTE pg_catalog.format('SELECT CASE WHEN s.is_called THEN s.last_value ELSE s.last_value - 1 END FROM %s s', ids.sequence) INTO newest;
	IF newest NOT BETWEEN lowest AND highest THEN
		newest := lowest - 1;
	END IF;
	-- what was restored may be newer than the sequence
	FOREACH relation IN ARRAY pg_catalog.array_remove(ARRAY[ids.relation, ids.archive], NULL) LOOP
		EXECUTE pg_catalog.format('SELECT max(t.%1$I) FROM %2$s t WHERE t.%1$I BETWEEN $1 AND $2', ids.name, relation)
			INTO given USING lowest, highest;
		newest := greatest(newest, given);
	END LOOP;
	EXECUTE pg_catalog.format('ALTER SEQUENCE %s MINVALUE %s MAXVALUE %s START WITH %s RESTART WITH %s',
		ids.sequence, lowest, highest, lowest, newest + 1);
END
$$;
COMMENT ON FUNCTION commerce_private.place_sequence(commerce_private.id_columns, bigint, bigint) IS
	'has a sequence give out ids from lowest to highest, behind those that there are';

CREATE FUNCTION commerce.set_cell(number int)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	width CONSTANT bigint := 1000000000000;
	former int;
	ids commerce_private.id_columns;
BEGIN
	PERFORM commerce_private.check_cell('number', set_cell.number, 0);
	LOCK TABLE commerce_private.cell IN SHARE ROW EXCLUSIVE MODE;
	SELECT c.number INTO former FROM commerce_private.cell c;
	IF former <> set_cell.number THEN
		PERFORM commerce_private.raise_invalid('number', pg_catalog.format('must be %s, as before: a cell keeps its number for good', former));
	END IF;
	IF former IS NULL AND set_cell.number <> 0 AND NOT commerce_private.is_empty() THEN
		PERFORM commerce_private.raise_invalid('number', 'must be 0: a shop that has rows is cell 0');
	END IF;
	-- nobody is given an id meanwhile, and orders have the gate before the sequences; and counters, that were told that no
	-- other cell has units, are loaded anew
	PERFORM commerce_private.close_gate();
	FOR ids IN SELECT * FROM commerce_private.id_columns LOOP
		PERFORM commerce_private.place_sequence(ids, set_cell.number * width + 1, (set_cell.number + 1) * width - 1);
	END LOOP;
	INSERT INTO commerce_private.cell (number) VALUES (set_cell.number) ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION commerce.set_cell(int) IS
	'makes this database a cell of the shop: from now on it gives out ids from number * 10^12 + 1 to (number + 1) * 10^12 - 1. For the owner of the extension, before the first user of a new cell; a shop that has users is cell 0. Again, with the same number, after a restore: behind the highest ids there are. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.require_catalogue()
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF commerce.cell_number() <> 0 THEN
		PERFORM commerce_private.raise_error('FORBIDDEN', '{"reason": "CATALOGUE_CELL"}');
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.require_catalogue() IS
	'refuses in every cell but 0, which owns the catalogue, the staff and the register of users. Errors: FORBIDDEN';

CREATE FUNCTION commerce_private.require_own(user_id bigint)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF commerce.cell_of(require_own.user_id) = 0 THEN
		PERFORM commerce_private.require_catalogue();
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.require_own(bigint) IS
	'refuses to change a user of cell 0, of whose staff each cell has a copy, in another one. Errors: FORBIDDEN';

-- sql/install/shop/user.sql

-- Users, and the table of the sellers among them.

CREATE TABLE commerce.users (
	id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	external_id text CHECK (external_id <> ''),
	name        text NOT NULL CHECK (pg_catalog.btrim(name) <> ''),
	email       text CHECK (email ~ '^[^@\s]+@[^@\s]+$' AND pg_catalog.char_length(email) <= 254),
	phone       text,
	address     text,
	role        commerce.user_role NOT NULL DEFAULT 'BUYER',
	status      commerce.user_status NOT NULL DEFAULT 'ACTIVE',
	erased_at   timestamptz,
	metadata    jsonb,
	created_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
	-- what an order changes is together: the WAL has all from the first byte to the last that changes
	balance     bigint NOT NULL DEFAULT 0 CHECK (balance >= 0),
	updated_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
	last_entry  bigint NOT NULL DEFAULT 0,
	event_key   bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX users_email_key ON commerce.users (pg_catalog.lower(email)) WHERE email IS NOT NULL;
CREATE UNIQUE INDEX users_external_id_key ON commerce.users (external_id) WHERE external_id IS NOT NULL;
COMMENT ON TABLE commerce.users IS 'everybody who buys, sells or runs the shop';
COMMENT ON COLUMN commerce.users.external_id IS 'the subject that the identity provider knows this person by; NULL: none';
COMMENT ON COLUMN commerce.users.email IS 'NULL: none; upper and lower case are not told apart';
COMMENT ON COLUMN commerce.users.balance IS 'prepaid balance; always the sum of the user''s balance_entries';
COMMENT ON COLUMN commerce.users.erased_at IS 'when the personal data was erased';
COMMENT ON COLUMN commerce.users.metadata IS 'the shop''s own attributes, an object';
COMMENT ON COLUMN commerce.users.last_entry IS 'number of the last balance entry; 0: there is none';
COMMENT ON COLUMN commerce.users.event_key IS 'key of the last outbox event of this user';
SELECT pg_catalog.pg_extension_config_dump('commerce.users', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.users_id_seq', '');

CREATE TABLE commerce.sellers (
	id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	user_id             bigint NOT NULL UNIQUE REFERENCES commerce.users,
	business_name       text NOT NULL CHECK (pg_catalog.btrim(business_name) <> ''),
	registration_number text NOT NULL UNIQUE
						CHECK (pg_catalog.btrim(registration_number) <> '' AND pg_catalog.char_length(registration_number) <= 200),
	cs_phone            text,
	address             text,
	category            text,
	active              boolean NOT NULL DEFAULT true,
	shipping_fee        bigint NOT NULL DEFAULT 0 CHECK (shipping_fee >= 0),
	free_shipping_from  bigint CHECK (free_shipping_from >= 0),
	metadata            jsonb,
	created_at          timestamptz NOT NULL DEFAULT pg_catalog.now(),
	updated_at          timestamptz NOT NULL DEFAULT pg_catalog.now(),
	event_key           bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE commerce.sellers IS 'the business behind a user of role SELLER';
COMMENT ON COLUMN commerce.sellers.registration_number IS 'business registration number';
COMMENT ON COLUMN commerce.sellers.cs_phone IS 'telephone number of customer service';
COMMENT ON COLUMN commerce.sellers.category IS 'sales category';
COMMENT ON COLUMN commerce.sellers.active IS 'whether the seller sells: the user''s status is ACTIVE';
COMMENT ON COLUMN commerce.sellers.shipping_fee IS 'shipping policy: once per order, for all lines without a fee of their own';
COMMENT ON COLUMN commerce.sellers.free_shipping_from IS 'shipping policy: amount of goods from which these lines are sent free; NULL: never';
COMMENT ON COLUMN commerce.sellers.metadata IS 'the shop''s own attributes, an object';
COMMENT ON COLUMN commerce.sellers.event_key IS 'key of the last outbox event of this seller';
SELECT pg_catalog.pg_extension_config_dump('commerce.sellers', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.sellers_id_seq', '');

CREATE TRIGGER gate_delete BEFORE DELETE OR UPDATE OF id ON commerce.users
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.users ENABLE ALWAYS TRIGGER gate_delete;
CREATE TRIGGER gate_delete BEFORE DELETE OR UPDATE OF id ON commerce.sellers
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.sellers ENABLE ALWAYS TRIGGER gate_delete;

-- What the attributes of a user may be; NULL: not given.
CREATE FUNCTION commerce_private.check_user(name text, email text, phone text, address text, external_id text, metadata jsonb)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.check_text('name', name), commerce_private.check_text('email', email),
		commerce_private.check_text('phone', phone), commerce_private.check_text('address', address),
		commerce_private.check_text('external_id', external_id);
	IF pg_catalog.btrim(name) = '' THEN
		PERFORM commerce_private.raise_invalid('name', 'must not be empty');
	END IF;
	IF email !~ '^[^@\s]+@[^@\s]+$' THEN
		PERFORM commerce_private.raise_invalid('email', 'must be an address such as kim@example.com');
	END IF;
	IF pg_catalog.btrim(external_id) = '' THEN
		PERFORM commerce_private.raise_invalid('external_id', 'must not be empty');
	END IF;
	PERFORM commerce_private.check_metadata(metadata);
END
$$;
COMMENT ON FUNCTION commerce_private.check_user(text, text, text, text, text, jsonb) IS
	'the rules of a user''s attributes, each with its INVALID_REQUEST';

CREATE FUNCTION commerce_private.user_event(u commerce.users, event_type text, more jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
BEGIN
	PERFORM commerce_private.write_event('User', u.id::text, event_type,
		pg_catalog.jsonb_build_object('user_id', u.id, 'external_id', u.external_id, 'name', u.name, 'email', u.email,
			'phone', u.phone, 'address', u.address, 'role', u.role, 'status', u.status, 'metadata', u.metadata,
			'created_at', u.created_at) || more,
		u.event_key);
	PERFORM commerce_private.keep_staff(u);
END
$$;
COMMENT ON FUNCTION commerce_private.user_event(commerce.users, text, jsonb) IS
	'writes an event that carries the whole user, and has the other cells know staff; the caller has just set its event_key';

CREATE FUNCTION commerce_private.raise_taken(entity text, attribute text)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.raise_error('ALREADY_EXISTS', pg_catalog.jsonb_strip_nulls(
		pg_catalog.jsonb_build_object('entity', entity, 'attribute', attribute)));
END
$$;
COMMENT ON FUNCTION commerce_private.raise_taken(text, text) IS 'raises ALREADY_EXISTS: somebody else has this value of an attribute';

CREATE FUNCTION commerce_private.lock_user(user_id bigint)
RETURNS commerce.users
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	u commerce.users;
BEGIN
	SELECT * INTO u FROM commerce.users l WHERE l.id = lock_user.user_id FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('user', lock_user.user_id);
	END IF;
	RETURN u;
END
$$;
COMMENT ON FUNCTION commerce_private.lock_user(bigint) IS
	'locks a user''s row until the transaction ends. Errors: ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.close_user(user_id bigint)
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_close_user';
COMMENT ON FUNCTION commerce_private.close_user(bigint) IS
	'waits for those who claim a coupon or make an order sheet for a user, and keeps others from it until the transaction ends';

CREATE FUNCTION commerce_private.require_not_erased(u commerce.users)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF u.erased_at IS NOT NULL THEN
		PERFORM commerce_private.raise_error('INVALID_STATE_TRANSITION',
			pg_catalog.jsonb_build_object('entity', 'user', 'id', u.id, 'reason', 'ERASED'));
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.require_not_erased(commerce.users) IS 'raises INVALID_STATE_TRANSITION for an erased user';

CREATE FUNCTION commerce_private.insert_user(
	name text, email text, phone text, address text, role commerce.user_role, external_id text, metadata jsonb)
RETURNS commerce.users
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	created commerce.users;
BEGIN
	INSERT INTO commerce.users (name, email, phone, address, role, external_id, metadata, event_key)
	VALUES (insert_user.name, insert_user.email, insert_user.phone, insert_user.address, insert_user.role,
			insert_user.external_id, insert_user.metadata, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	ON CONFLICT DO NOTHING
	RETURNING * INTO created;
	IF created.id IS NOT NULL THEN
		PERFORM commerce_private.user_event(created, 'UserCreated', '{}');
	END IF;
	RETURN created;
END
$$;
COMMENT ON FUNCTION commerce_private.insert_user(text, text, text, text, commerce.user_role, text, jsonb) IS
	'writes a new user, with the event; nobody (id NULL) when the e-mail or the external_id is taken';

CREATE FUNCTION commerce.create_user(
	name text, email text DEFAULT NULL, phone text DEFAULT NULL, address text DEFAULT NULL,
	role commerce.user_role DEFAULT 'BUYER', external_id text DEFAULT NULL, metadata jsonb DEFAULT NULL,
	idempotency_key text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	arguments jsonb;
	stored jsonb;
	created commerce.users;
BEGIN
	PERFORM commerce_private.begin_write();
	IF create_user.name IS NULL THEN
		PERFORM commerce_private.raise_invalid('name', 'must not be null');
	END IF;
	PERFORM commerce_private.check_user(create_user.name, create_user.email, create_user.phone, create_user.address,
		create_user.external_id, create_user.metadata);
	IF create_user.role IS NULL THEN
		PERFORM commerce_private.raise_invalid('role', 'must not be null');
	END IF;
	IF create_user.role <> 'BUYER' THEN
		PERFORM commerce_private.require_catalogue();
	END IF;
	arguments := pg_catalog.jsonb_build_object('name', create_user.name, 'email', create_user.email,
		'phone', create_user.phone, 'address', create_user.address, 'role', create_user.role,
		'external_id', create_user.external_id, 'metadata', create_user.metadata);
	stored := commerce_private.begin_key('shop', 'create_user', create_user.idempotency_key, arguments);
	IF stored IS NOT NULL THEN
		RETURN (stored->'id')::bigint;
	END IF;

	created := commerce_private.insert_user(create_user.name, create_user.email, create_user.phone, create_user.address,
		create_user.role, create_user.external_id, create_user.metadata);
	IF created.id IS NULL THEN
		PERFORM commerce_private.raise_taken('user',
			CASE WHEN EXISTS (SELECT FROM commerce.users u WHERE u.external_id = create_user.external_id) THEN 'external_id'
				 WHEN EXISTS (SELECT FROM commerce.users u WHERE pg_catalog.lower(u.email) = pg_catalog.lower(create_user.email)) THEN 'email' END);
	END IF;
	PERFORM commerce_private.end_key('shop', 'create_user', create_user.idempotency_key, arguments,
		pg_catalog.jsonb_build_object('id', created.id));
	RETURN created.id;
END
$$;
COMMENT ON FUNCTION commerce.create_user(text, text, text, text, commerce.user_role, text, jsonb, text) IS
	'creates a user with an empty balance and returns its id. email, upper and lower case not told apart, and external_id, the subject that an identity provider knows the person by, are unique when given; metadata: an object of the shop''s own, of at most 16 384 bytes. Errors: INVALID_REQUEST, ALREADY_EXISTS, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.sign_up(
	external_id text, name text, email text DEFAULT NULL, phone text DEFAULT NULL, address text DEFAULT NULL)
RETURNS commerce.users
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	u commerce.users;
BEGIN
	PERFORM commerce_private.begin_write();
	IF sign_up.external_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('external_id', 'must not be null');
	END IF;
	IF sign_up.name IS NULL THEN
		PERFORM commerce_private.raise_invalid('name', 'must not be null');
	END IF;
	PERFORM commerce_private.check_user(sign_up.name, sign_up.email, sign_up.phone, sign_up.address, sign_up.external_id, NULL);
	SELECT f.* INTO u FROM commerce.users f WHERE f.external_id = sign_up.external_id;
	IF FOUND THEN
		RETURN u;
	END IF;
	u := commerce_private.insert_user(sign_up.name, sign_up.email, sign_up.phone, sign_up.address, 'BUYER', sign_up.external_id, NULL);
	IF u.id IS NULL THEN
		-- the person may have signed up a moment ago, in another session
		SELECT f.* INTO u FROM commerce.users f WHERE f.external_id = sign_up.external_id;
		IF NOT FOUND THEN
			PERFORM commerce_private.raise_taken('user', 'email');
		END IF;
	END IF;
	RETURN u;
END
$$;
COMMENT ON FUNCTION commerce.sign_up(text, text, text, text, text) IS
	'the user with this external_id: the one there is, unchanged, or a new BUYER with an empty balance. So it can be called at each sign-in. An e-mail that another user has is refused, and links nothing. Errors: INVALID_REQUEST, ALREADY_EXISTS';

CREATE FUNCTION commerce_private.store_user(u commerce.users)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE commerce.users c
	SET name = u.name, email = u.email, phone = u.phone, address = u.address, external_id = u.external_id,
		metadata = u.metadata, updated_at = pg_catalog.now(),
		event_key = greatest(c.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	WHERE c.id = u.id;
END
$$;
COMMENT ON FUNCTION commerce_private.store_user(commerce.users) IS 'writes the attributes of a user whose row the caller has locked';

CREATE FUNCTION commerce.update_user(
	user_id bigint, name text DEFAULT NULL, email text DEFAULT NULL, phone text DEFAULT NULL,
	address text DEFAULT NULL, external_id text DEFAULT NULL, metadata jsonb DEFAULT NULL,
	clear text[] DEFAULT '{}', actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.users
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	changes jsonb;
	actor jsonb;
	before commerce.users;
	u commerce.users;
	attempted record;
BEGIN
	PERFORM commerce_private.begin_write();
	IF update_user.user_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('user_id', 'must not be null');
	END IF;
	PERFORM commerce_private.require_own(update_user.user_id);
	PERFORM commerce_private.check_text('note', update_user.note), commerce_private.check_texts('clear', update_user.clear);
	PERFORM commerce_private.check_user(update_user.name, update_user.email, update_user.phone, update_user.address,
		update_user.external_id, update_user.metadata);
	changes := commerce_private.changes(
		pg_catalog.jsonb_build_object('name', update_user.name, 'email', update_user.email, 'phone', update_user.phone,
			'address', update_user.address, 'external_id', update_user.external_id, 'metadata', update_user.metadata),
		update_user.clear, '{email,phone,address,external_id,metadata}');
	-- who signs in as this user is not the user's own choice
	actor := commerce_private.require_who(update_user.actor_id, update_user.note,
		user_id => CASE WHEN changes ? 'external_id' THEN NULL ELSE update_user.user_id END);
	-- nor is it an administrator's who comes with a buyer's token
	IF changes ? 'external_id' AND update_user.actor_id = update_user.user_id AND commerce_private.current_api_role() = 'BUYER' THEN
		PERFORM commerce_private.raise_error('FORBIDDEN', '{"role": "BUYER", "reason": "NOT_FOR_ROLE"}');
	END IF;

	before := commerce_private.lock_user(update_user.user_id);
	PERFORM commerce_private.require_not_erased(before);
	u := pg_catalog.jsonb_populate_record(before, changes);
	IF u IS NOT DISTINCT FROM before THEN
		RETURN u;
	END IF;
	SELECT * INTO attempted
	FROM commerce_private.attempt('{users_email_key,users_external_id_key}', 'commerce_private.store_user(commerce.users)', u);
	IF attempted.sqlstate IS NOT NULL THEN
		PERFORM commerce_private.raise_taken('user',
			CASE attempted.constraint_name WHEN 'users_email_key' THEN 'email' ELSE 'external_id' END);
	END IF;
	SELECT * INTO u FROM commerce.users c WHERE c.id = before.id;
	PERFORM commerce_private.name_staff(before, u);
	PERFORM commerce_private.user_event(u, 'UserChanged', pg_catalog.jsonb_build_object('actor', actor));
	RETURN u;
END
$$;
COMMENT ON FUNCTION commerce.update_user(bigint, text, text, text, text, text, jsonb, text[], bigint, text) IS
	'changes the attributes of a user that are given, empties those that clear names (email, phone, address, external_id, metadata), leaves the others, and returns the row. actor_id: an ADMIN, or the user himself, who cannot change external_id; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, ALREADY_EXISTS, INVALID_STATE_TRANSITION';

CREATE FUNCTION commerce.find_user(email text DEFAULT NULL, external_id text DEFAULT NULL)
RETURNS commerce.users
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	found commerce.users;
BEGIN
	PERFORM commerce_private.check_text('email', find_user.email), commerce_private.check_text('external_id', find_user.external_id);
	IF pg_catalog.num_nonnulls(find_user.email, find_user.external_id) <> 1 THEN
		PERFORM commerce_private.raise_invalid('email', 'or external_id must be given, and not both');
	END IF;
	IF find_user.email IS NOT NULL THEN
		SELECT u.* INTO found FROM commerce.users u WHERE pg_catalog.lower(u.email) = pg_catalog.lower(find_user.email);
	ELSE
		SELECT u.* INTO found FROM commerce.users u WHERE u.external_id = find_user.external_id;
	END IF;
	IF found.id IS NULL THEN
		PERFORM commerce_private.raise_not_found('user', coalesce(find_user.email, find_user.external_id));
	END IF;
	RETURN found;
END
$$;
COMMENT ON FUNCTION commerce.find_user(text, text) IS
	'the user with this e-mail, upper and lower case not told apart, or with this external_id: one of the two is given. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.end_unpaid_orders(user_id bigint)
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_end_unpaid_orders';
COMMENT ON FUNCTION commerce_private.end_unpaid_orders(bigint) IS
	'ends the unpaid orders and charges of a user whose row the caller has locked, as overdue ones are';

CREATE FUNCTION commerce.set_user_status(
	user_id bigint, status commerce.user_status, actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.users
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	actor jsonb;
	before commerce.users;
	u commerce.users;
BEGIN
	PERFORM commerce_private.begin_write();
	IF set_user_status.user_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('user_id', 'must not be null');
	END IF;
	PERFORM commerce_private.require_own(set_user_status.user_id);
	IF set_user_status.status IS NULL THEN
		PERFORM commerce_private.raise_invalid('status', 'must not be null');
	END IF;
	PERFORM commerce_private.check_text('note', set_user_status.note);
	actor := commerce_private.require_who(set_user_status.actor_id, set_user_status.note);
	before := commerce_private.lock_user(set_user_status.user_id);
	PERFORM commerce_private.require_not_erased(before);
	IF before.status = set_user_status.status THEN
		RETURN before;
	END IF;

	UPDATE commerce.users c
	SET status = set_user_status.status, updated_at = pg_catalog.now(),
		event_key = greatest(c.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	WHERE c.id = before.id
	RETURNING c.* INTO u;
	PERFORM commerce_private.user_event(u, 'UserStatusChanged', pg_catalog.jsonb_build_object('from', before.status, 'actor', actor));
	PERFORM commerce_private.follow_status(u, actor);
	IF u.status <> 'ACTIVE' THEN
		PERFORM commerce_private.end_unpaid_orders(u.id);
	END IF;
	RETURN u;
END
$$;
COMMENT ON FUNCTION commerce.set_user_status(bigint, commerce.user_status, bigint, text) IS
	'suspends, withdraws or reactivates a user and returns the row. A user who is not ACTIVE may not charge, order, claim or make sheets, a seller sells nothing, and unpaid orders end at once; cancelling and refunds go on. actor_id: an ADMIN, or NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, INVALID_STATE_TRANSITION';

-- sql/install/shop/seller.sql

-- Sellers: the businesses behind users of role SELLER.

CREATE FUNCTION commerce_private.check_seller(
	business_name text, registration_number text, cs_phone text, address text, category text, shipping_fee bigint,
	free_shipping_from bigint, metadata jsonb)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.check_text('business_name', business_name),
		commerce_private.check_text('registration_number', registration_number),
		commerce_private.check_text('cs_phone', cs_phone), commerce_private.check_text('address', address),
		commerce_private.check_text('category', category);
	IF pg_catalog.btrim(business_name) = '' THEN
		PERFORM commerce_private.raise_invalid('business_name', 'must not be empty');
	END IF;
	IF pg_catalog.btrim(registration_number) = '' THEN
		PERFORM commerce_private.raise_invalid('registration_number', 'must not be empty');
	END IF;
	PERFORM commerce_private.check_amount('shipping_fee', shipping_fee);
	PERFORM commerce_private.check_amount('free_shipping_from', free_shipping_from);
	PERFORM commerce_private.check_metadata(metadata);
END
$$;
COMMENT ON FUNCTION commerce_private.check_seller(text, text, text, text, text, bigint, bigint, jsonb) IS
	'the rules of a seller''s attributes, each with its INVALID_REQUEST; NULL: not given';

CREATE FUNCTION commerce_private.seller_event(s commerce.sellers, event_type text, actor jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
BEGIN
	PERFORM commerce_private.write_event('Seller', s.id::text, event_type,
		pg_catalog.jsonb_build_object('seller_id', s.id, 'user_id', s.user_id, 'business_name', s.business_name,
			'registration_number', s.registration_number, 'cs_phone', s.cs_phone, 'address', s.address,
			'category', s.category, 'active', s.active, 'shipping_fee', s.shipping_fee,
			'free_shipping_from', s.free_shipping_from, 'metadata', s.metadata, 'created_at', s.created_at,
			'updated_at', s.updated_at, 'actor', actor),
		s.event_key);
END
$$;
COMMENT ON FUNCTION commerce_private.seller_event(commerce.sellers, text, jsonb) IS
	'writes an event that carries the whole seller and who did it; the caller has just set its event_key';

CREATE FUNCTION commerce_private.follow_status(u commerce.users, actor jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	s commerce.sellers;
BEGIN
	UPDATE commerce.sellers c
	SET active = u.status = 'ACTIVE', updated_at = pg_catalog.now(),
		event_key = greatest(c.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	WHERE c.user_id = u.id AND c.active <> (u.status = 'ACTIVE')
	RETURNING c.* INTO s;
	IF s.id IS NOT NULL THEN
		PERFORM commerce_private.seller_event(s, 'SellerChanged', actor);
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.follow_status(commerce.users, jsonb) IS
	'makes the seller of a user active or not, as the user''s new status says';

CREATE FUNCTION commerce.create_seller(
	user_id bigint, business_name text, registration_number text, cs_phone text DEFAULT NULL,
	address text DEFAULT NULL, category text DEFAULT NULL, actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	actor jsonb;
	u commerce.users;
	s commerce.sellers;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.require_catalogue();
	IF create_seller.user_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('user_id', 'must not be null');
	END IF;
	IF create_seller.business_name IS NULL THEN
		PERFORM commerce_private.raise_invalid('business_name', 'must not be null');
	END IF;
	IF create_seller.registration_number IS NULL THEN
		PERFORM commerce_private.raise_invalid('registration_number', 'must not be null');
	END IF;
	PERFORM commerce_private.check_text('note', create_seller.note);
	PERFORM commerce_private.check_seller(create_seller.business_name, create_seller.registration_number,
		create_seller.cs_phone, create_seller.address, create_seller.category, NULL, NULL, NULL);
	actor := commerce_private.require_who(create_seller.actor_id, create_seller.note);
	u := commerce_private.lock_user(create_seller.user_id);
	PERFORM commerce_private.require_not_erased(u);
	IF u.role = 'ADMIN' THEN
		PERFORM commerce_private.raise_invalid('user_id', 'must not be of an administrator');
	END IF;

	INSERT INTO commerce.sellers (user_id, business_name, registration_number, cs_phone, address, category, active, event_key)
	VALUES (u.id, create_seller.business_name, create_seller.registration_number, create_seller.cs_phone,
			create_seller.address, create_seller.category, u.status = 'ACTIVE',
			commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	ON CONFLICT DO NOTHING
	RETURNING * INTO s;
	IF s.id IS NULL THEN
		PERFORM commerce_private.raise_taken('seller',
			CASE WHEN EXISTS (SELECT FROM commerce.sellers o WHERE o.user_id = u.id) THEN 'user_id'
				 WHEN EXISTS (SELECT FROM commerce.sellers o WHERE o.registration_number = create_seller.registration_number)
				 THEN 'registration_number' END);
	END IF;
	PERFORM commerce_private.seller_event(s, 'SellerCreated', actor);
	IF u.role <> 'SELLER' THEN
		UPDATE commerce.users c
		SET role = 'SELLER', updated_at = pg_catalog.now(),
			event_key = greatest(c.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
		WHERE c.id = u.id
		RETURNING c.* INTO u;
		PERFORM commerce_private.user_event(u, 'UserChanged', pg_catalog.jsonb_build_object('actor', actor));
	END IF;
	RETURN s.id;
END
$$;
COMMENT ON FUNCTION commerce.create_seller(bigint, text, text, text, text, text, bigint, text) IS
	'records the business of a user, once per user, and returns the seller''s id; a BUYER becomes a SELLER by it. actor_id: an ADMIN, or NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, ALREADY_EXISTS, INVALID_STATE_TRANSITION';

CREATE FUNCTION commerce_private.store_seller(s commerce.sellers)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE commerce.sellers c
	SET business_name = s.business_name, registration_number = s.registration_number, cs_phone = s.cs_phone,
		address = s.address, category = s.category, shipping_fee = s.shipping_fee,
		free_shipping_from = s.free_shipping_from, metadata = s.metadata, updated_at = pg_catalog.now(),
		event_key = greatest(c.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	WHERE c.id = s.id;
END
$$;
COMMENT ON FUNCTION commerce_private.store_seller(commerce.sellers) IS 'writes the attributes of a seller whose row the caller has locked';

CREATE FUNCTION commerce.update_seller(
	seller_id bigint, business_name text DEFAULT NULL, registration_number text DEFAULT NULL,
	cs_phone text DEFAULT NULL, address text DEFAULT NULL, category text DEFAULT NULL,
	shipping_fee bigint DEFAULT NULL, free_shipping_from bigint DEFAULT NULL, metadata jsonb DEFAULT NULL,
	clear text[] DEFAULT '{}', actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.sellers
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	changes jsonb;
	actor jsonb;
	before commerce.sellers;
	s commerce.sellers;
	attempted record;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.require_catalogue();
	IF update_seller.seller_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('seller_id', 'must not be null');
	END IF;
	PERFORM commerce_private.check_text('note', update_seller.note), commerce_private.check_texts('clear', update_seller.clear);
	PERFORM commerce_private.check_seller(update_seller.business_name, update_seller.registration_number,
		update_seller.cs_phone, update_seller.address, update_seller.category, update_seller.shipping_fee,
		update_seller.free_shipping_from, update_seller.metadata);
	changes := commerce_private.changes(
		pg_catalog.jsonb_build_object('business_name', update_seller.business_name,
			'registration_number', update_seller.registration_number, 'cs_phone', update_seller.cs_phone,
			'address', update_seller.address, 'category', update_seller.category,
			'shipping_fee', update_seller.shipping_fee, 'free_shipping_from', update_seller.free_shipping_from,
			'metadata', update_seller.metadata),
		update_seller.clear, '{cs_phone,address,category,free_shipping_from,metadata}');
	-- the shop has looked into whose business it is
	actor := commerce_private.require_who(update_seller.actor_id, update_seller.note,
		seller_id => CASE WHEN changes ? 'registration_number' THEN NULL ELSE update_seller.seller_id END);

	SELECT * INTO before FROM commerce.sellers c WHERE c.id = update_seller.seller_id FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('seller', update_seller.seller_id);
	END IF;
	s := pg_catalog.jsonb_populate_record(before, changes);
	IF s IS NOT DISTINCT FROM before THEN
		RETURN s;
	END IF;
	SELECT * INTO attempted
	FROM commerce_private.attempt('{sellers_registration_number_key}', 'commerce_private.store_seller(commerce.sellers)', s);
	IF attempted.sqlstate IS NOT NULL THEN
		PERFORM commerce_private.raise_taken('seller', 'registration_number');
	END IF;
	SELECT * INTO s FROM commerce.sellers c WHERE c.id = before.id;
	PERFORM commerce_private.seller_event(s, 'SellerChanged', actor);
	RETURN s;
END
$$;
COMMENT ON FUNCTION commerce.update_seller(bigint, text, text, text, text, text, bigint, bigint, jsonb, text[], bigint, text) IS
	'changes the attributes of a seller that are given, empties those that clear names (cs_phone, address, category, free_shipping_from, metadata), leaves the others, and returns the row. shipping_fee and free_shipping_from are the shipping policy: once per order for all lines without a fee of their own, nothing from this amount of goods on. actor_id: an ADMIN, or the seller''s user, who cannot change registration_number; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, ALREADY_EXISTS';

-- sql/install/shop/balance.sql

-- Prepaid balances.

CREATE TABLE commerce.balance_entries (
	user_id       bigint NOT NULL REFERENCES commerce.users,
	number        bigint NOT NULL CHECK (number > 0),
	kind          commerce.balance_entry_kind NOT NULL,
	amount        bigint NOT NULL CHECK (amount <> 0),
	balance_after bigint NOT NULL CHECK (balance_after >= 0),
	order_id      bigint,
	reference     text,
	at            timestamptz NOT NULL DEFAULT pg_catalog.now(),
	payment_id    bigint,
	PRIMARY KEY (user_id, number)
);
CREATE UNIQUE INDEX balance_entries_charge_key ON commerce.balance_entries (user_id, reference)
	WHERE kind = 'CHARGE' AND reference IS NOT NULL;
COMMENT ON TABLE commerce.balance_entries IS 'append-only journal of every balance: the sum of a user''s amounts is that user''s balance';
COMMENT ON COLUMN commerce.balance_entries.number IS '1, 2, 3 ... of each user, without gaps';
COMMENT ON COLUMN commerce.balance_entries.amount IS 'signed';
COMMENT ON COLUMN commerce.balance_entries.order_id IS 'the order that was paid or refunded, archived or not';
COMMENT ON COLUMN commerce.balance_entries.reference IS 'idempotency key of a charge, kept for good, or the reason of an adjustment';
COMMENT ON COLUMN commerce.balance_entries.payment_id IS 'the charge that a provider has paid; NULL: another entry';
SELECT pg_catalog.pg_extension_config_dump('commerce.balance_entries', '');

CREATE FUNCTION commerce.charge_balance(
	INOUT user_id bigint, IN amount bigint, IN idempotency_key text DEFAULT NULL, OUT balance bigint)
RETURNS record
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_charge_balance';
COMMENT ON FUNCTION commerce.charge_balance(bigint, bigint, text) IS
	'adds an amount to a user''s prepaid balance and returns the new balance; amount: above 0, at most commerce.charge_max (99 999 999), a multiple of commerce.charge_unit (100). The idempotency_key stays with the entry for good: the same key months later returns the first result. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.adjust_balance(
	INOUT user_id bigint, IN amount bigint, IN note text, IN actor_id bigint DEFAULT NULL,
	IN idempotency_key text DEFAULT NULL, OUT balance bigint)
RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	most CONSTANT bigint := 1000000000000;
	most_balance CONSTANT bigint := 9007199254740991;
	scope text := 'user:' || adjust_balance.user_id;
	arguments jsonb := pg_catalog.jsonb_build_object('amount', adjust_balance.amount, 'note', adjust_balance.note,
		'actor_id', adjust_balance.actor_id);
	stored jsonb;
	actor jsonb;
	u commerce.users;
	event_position bigint;
BEGIN
	PERFORM commerce_private.begin_write();
	IF adjust_balance.user_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('user_id', 'must not be null');
	END IF;
	IF adjust_balance.amount IS NULL OR adjust_balance.amount = 0 OR adjust_balance.amount NOT BETWEEN -most AND most THEN
		PERFORM commerce_private.raise_invalid('amount', 'must not be 0, nor above 1 000 000 000 000 either way');
	END IF;
	PERFORM commerce_private.check_text('note', adjust_balance.note);
	IF pg_catalog.btrim(coalesce(adjust_balance.note, '')) = '' THEN
		PERFORM commerce_private.raise_invalid('note', 'must not be empty');
	END IF;
	stored := commerce_private.begin_key(scope, 'adjust_balance', adjust_balance.idempotency_key, arguments);
	IF stored IS NOT NULL THEN
		adjust_balance.balance := (stored->'balance')::bigint;
		RETURN;
	END IF;

	actor := commerce_private.require_who(adjust_balance.actor_id, adjust_balance.note);
	u := commerce_private.lock_user(adjust_balance.user_id);
	IF u.balance + adjust_balance.amount < 0 THEN
		PERFORM commerce_private.raise_error('BALANCE_NOT_ENOUGH', pg_catalog.jsonb_build_object('user_id', u.id,
			'asked', -adjust_balance.amount, 'balance', u.balance));
	END IF;
	IF u.balance + adjust_balance.amount > most_balance THEN
		PERFORM commerce_private.raise_invalid('amount', 'would take the balance out of range');
	END IF;
	-- before the change: a trigger may change the balance, too
	event_position := pg_catalog.nextval('commerce_private.outbox_position_seq');
	UPDATE commerce.users c
	SET balance = c.balance + adjust_balance.amount, last_entry = c.last_entry + 1, updated_at = pg_catalog.now(),
		event_key = greatest(c.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	WHERE c.id = u.id
	RETURNING c.* INTO u;
	INSERT INTO commerce.balance_entries (user_id, number, kind, amount, balance_after, reference)
	VALUES (u.id, u.last_entry, 'ADJUST', adjust_balance.amount, u.balance, adjust_balance.note);
	PERFORM commerce_private.write_event('User', u.id::text, 'BalanceAdjusted',
		pg_catalog.jsonb_build_object('user_id', u.id, 'amount', adjust_balance.amount, 'balance', u.balance,
			'adjusted_at', pg_catalog.now(), 'actor', actor),
		u.event_key, event_position);
	adjust_balance.balance := u.balance;
	PERFORM commerce_private.end_key(scope, 'adjust_balance', adjust_balance.idempotency_key, arguments,
		pg_catalog.jsonb_build_object('user_id', u.id, 'balance', u.balance));
END
$$;
COMMENT ON FUNCTION commerce.adjust_balance(bigint, bigint, text, bigint, text) IS
	'corrects a user''s balance, grants something or pays it out (amount below 0), whatever the user''s status, and returns the new balance; never below 0. note: why. actor_id: an ADMIN, or NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, BALANCE_NOT_ENOUGH, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.get_balance(INOUT user_id bigint, OUT balance bigint)
RETURNS record
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
BEGIN
	IF get_balance.user_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('user_id', 'must not be null');
	END IF;
	SELECT u.balance INTO get_balance.balance FROM commerce.users u WHERE u.id = get_balance.user_id;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('user', get_balance.user_id);
	END IF;
END
$$;
COMMENT ON FUNCTION commerce.get_balance(bigint) IS
	'a user''s prepaid balance. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.balance_statement(user_id bigint, before bigint DEFAULT NULL, max_rows int DEFAULT 100)
RETURNS SETOF commerce.balance_entries
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
	IF balance_statement.user_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('user_id', 'must not be null');
	END IF;
	IF balance_statement.max_rows IS NULL OR balance_statement.max_rows < 1 THEN
		PERFORM commerce_private.raise_invalid('max_rows', 'must be 1 or more');
	END IF;
	IF NOT EXISTS (SELECT FROM commerce.users u WHERE u.id = balance_statement.user_id) THEN
		PERFORM commerce_private.raise_not_found('user', balance_statement.user_id);
	END IF;
	RETURN QUERY
		SELECT e.* FROM commerce.balance_entries e
		WHERE e.user_id = balance_statement.user_id
		  AND e.number < coalesce(balance_statement.before, 9223372036854775807)
		ORDER BY e.number DESC LIMIT balance_statement.max_rows;
END
$$;
COMMENT ON FUNCTION commerce.balance_statement(bigint, bigint, int) IS
	'what came into a user''s balance and went out, newest first, at most max_rows entries; before: only entries of a lower number, such as the last one of the page before. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

-- sql/install/shop/actor.sql

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

-- sql/install/shop/product.sql

-- Products.

CREATE TABLE commerce.products (
	id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	seller_id     bigint REFERENCES commerce.sellers,
	name          text NOT NULL CHECK (pg_catalog.btrim(name) <> ''),
	description   text,
	price         bigint NOT NULL CHECK (price >= 0),
	discount      bigint NOT NULL DEFAULT 0,
	shipping_fee  bigint CHECK (shipping_fee >= 0),
	max_per_order bigint CHECK (max_per_order > 0),
	category      text,
	status        commerce.product_status NOT NULL DEFAULT 'ON_SALE' CHECK (status <> 'SOLD_OUT'),
	created_at    timestamptz NOT NULL DEFAULT pg_catalog.now(),
	updated_at    timestamptz NOT NULL DEFAULT pg_catalog.now(),
	sku           text CHECK (pg_catalog.btrim(sku) <> ''),
	group_id      bigint REFERENCES commerce.products,
	max_per_user  bigint CHECK (max_per_user > 0),
	tax_exempt    boolean NOT NULL DEFAULT false,
	image_urls    text[] NOT NULL DEFAULT '{}',
	metadata      jsonb,
	CONSTRAINT products_discount_check CHECK (discount BETWEEN 0 AND price)
);
CREATE UNIQUE INDEX products_sku_key ON commerce.products (coalesce(seller_id, 0), sku) WHERE sku IS NOT NULL;
CREATE INDEX products_group_id_idx ON commerce.products (group_id) WHERE group_id IS NOT NULL;
CREATE INDEX products_seller_id_idx ON commerce.products (seller_id);
CREATE INDEX products_category_idx ON commerce.products (category, id) INCLUDE (seller_id) WHERE status = 'ON_SALE';
COMMENT ON TABLE commerce.products IS 'what is sold; a product is discontinued, not deleted. Its stock is in stock and stock_entries: available_stock()';
COMMENT ON COLUMN commerce.products.seller_id IS 'NULL: the shop''s own';
COMMENT ON COLUMN commerce.products.price IS 'per unit, before discounts';
COMMENT ON COLUMN commerce.products.discount IS 'instant discount per unit';
COMMENT ON COLUMN commerce.products.shipping_fee IS 'once per order line; NULL: the seller''s shipping policy, or the shop''s';
COMMENT ON COLUMN commerce.products.max_per_order IS 'most units in one order; NULL: no limit';
COMMENT ON COLUMN commerce.products.sku IS 'the seller''s own number of the product, unique within the seller''s products or the shop''s own';
COMMENT ON COLUMN commerce.products.group_id IS 'products of one group are variants of one thing, such as sizes: the id of one of them';
COMMENT ON COLUMN commerce.products.max_per_user IS 'most units that one user can have ordered; NULL: no limit';
COMMENT ON COLUMN commerce.products.tax_exempt IS 'what is paid for it counts into the order''s tax_free_amount';
COMMENT ON COLUMN commerce.products.metadata IS 'an object of the shop''s own';
COMMENT ON COLUMN commerce.products.status IS 'ON_SALE or DISCONTINUED; SOLD_OUT is what views show';
SELECT pg_catalog.pg_extension_config_dump('commerce.products', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.products_id_seq', '');

CREATE TRIGGER gate_delete BEFORE DELETE OR UPDATE OF id ON commerce.products
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.products ENABLE ALWAYS TRIGGER gate_delete;

-- What the attributes of a product may be; NULL: not given, or none.
CREATE FUNCTION commerce_private.check_product(
	name text, price bigint, description text, category text, discount bigint, shipping_fee bigint, max_per_order bigint,
	max_per_user bigint, image_urls text[], sku text, metadata jsonb)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.check_text('name', name), commerce_private.check_text('description', description),
		commerce_private.check_text('category', category), commerce_private.check_text('sku', sku);
	IF pg_catalog.btrim(name) = '' THEN
		PERFORM commerce_private.raise_invalid('name', 'must not be empty');
	END IF;
	IF pg_catalog.btrim(sku) = '' THEN
		PERFORM commerce_private.raise_invalid('sku', 'must not be empty');
	END IF;
	PERFORM commerce_private.check_amount('price', price), commerce_private.check_amount('discount', discount),
		commerce_private.check_amount('shipping_fee', shipping_fee);
	IF max_per_order NOT BETWEEN 1 AND 1000000000000 THEN
		PERFORM commerce_private.raise_invalid('max_per_order', 'must be between 1 and 1 000 000 000 000');
	END IF;
	IF max_per_user NOT BETWEEN 1 AND 1000000000000 THEN
		PERFORM commerce_private.raise_invalid('max_per_user', 'must be between 1 and 1 000 000 000 000');
	END IF;
	IF pg_catalog.cardinality(image_urls) > 100 OR pg_catalog.array_ndims(image_urls) > 1 THEN
		PERFORM commerce_private.raise_invalid('image_urls', 'must be a list of at most 100');
	END IF;
	IF EXISTS (SELECT FROM pg_catalog.unnest(image_urls) AS u (url) WHERE u.url IS NULL OR pg_catalog.btrim(u.url) = '') THEN
		PERFORM commerce_private.raise_invalid('image_urls', 'must not have an empty one');
	END IF;
	PERFORM commerce_private.check_texts('image_urls', image_urls), commerce_private.check_metadata(metadata);
END
$$;
COMMENT ON FUNCTION commerce_private.check_product(text, bigint, text, text, bigint, bigint, bigint, bigint, text[], text, jsonb) IS
	'the rules of a product''s attributes, each with its INVALID_REQUEST';

-- The rules that need more than one attribute, and other products.
CREATE FUNCTION commerce_private.check_product_row(p commerce.products)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	variant commerce.products;
BEGIN
	IF p.discount > p.price THEN
		PERFORM commerce_private.raise_invalid('discount', 'must not be above the price');
	END IF;
	IF p.group_id IS NULL OR p.group_id = p.id THEN
		RETURN;
	END IF;
	SELECT * INTO variant FROM commerce.products v WHERE v.id = p.group_id;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('product', p.group_id);
	END IF;
	IF variant.seller_id IS DISTINCT FROM p.seller_id THEN
		PERFORM commerce_private.raise_invalid('group_id', 'must be a product of the same seller');
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.check_product_row(commerce.products) IS
	'the rules of a product as a whole. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.product_event(p commerce.products, event_type text, more jsonb, key bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
BEGIN
	PERFORM commerce_private.write_event('Product', p.id::text, event_type,
		pg_catalog.jsonb_build_object('product_id', p.id, 'seller_id', p.seller_id, 'name', p.name,
			'description', p.description, 'price', p.price, 'discount', p.discount, 'shipping_fee', p.shipping_fee,
			'max_per_order', p.max_per_order, 'category', p.category, 'status', p.status, 'created_at', p.created_at,
			'updated_at', p.updated_at, 'sku', p.sku, 'group_id', p.group_id, 'max_per_user', p.max_per_user,
			'tax_exempt', p.tax_exempt, 'image_urls', p.image_urls, 'metadata', p.metadata) || more,
		key);
END
$$;
COMMENT ON FUNCTION commerce_private.product_event(commerce.products, text, jsonb, bigint) IS
	'writes an event that carries the whole product; key: product_event_key(), or this transaction''s for a product that it has made';

-- Whose a product is may be read without a lock: it never changes.
CREATE FUNCTION commerce_private.product_seller(product_id bigint)
RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	seller_id bigint;
BEGIN
	IF product_seller.product_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('product_id', 'must not be null');
	END IF;
	SELECT p.seller_id INTO seller_id FROM commerce.products p WHERE p.id = product_seller.product_id;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('product', product_seller.product_id);
	END IF;
	RETURN seller_id;
END
$$;
COMMENT ON FUNCTION commerce_private.product_seller(bigint) IS
	'the seller whose product it is; NULL: the shop''s own. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.create_product(
	seller_id bigint, name text, price bigint, stock bigint, description text DEFAULT NULL,
	category text DEFAULT NULL, discount bigint DEFAULT 0, shipping_fee bigint DEFAULT NULL,
	max_per_order bigint DEFAULT NULL, max_per_user bigint DEFAULT NULL, image_urls text[] DEFAULT '{}',
	sku text DEFAULT NULL, group_id bigint DEFAULT NULL, tax_exempt boolean DEFAULT false,
	metadata jsonb DEFAULT NULL, actor_id bigint DEFAULT NULL, note text DEFAULT NULL,
	idempotency_key text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	arguments jsonb;
	missing text;
	stored jsonb;
	actor jsonb;
	p commerce.products;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.require_catalogue();
	missing := CASE WHEN create_product.name IS NULL THEN 'name' WHEN create_product.price IS NULL THEN 'price'
					WHEN create_product.stock IS NULL THEN 'stock' WHEN create_product.discount IS NULL THEN 'discount'
					WHEN create_product.image_urls IS NULL THEN 'image_urls' WHEN create_product.tax_exempt IS NULL THEN 'tax_exempt' END;
	IF missing IS NOT NULL THEN
		PERFORM commerce_private.raise_invalid(missing, 'must not be null');
	END IF;
	PERFORM commerce_private.check_text('note', create_product.note);
	PERFORM commerce_private.check_product(create_product.name, create_product.price, create_product.description,
		create_product.category, create_product.discount, create_product.shipping_fee, create_product.max_per_order,
		create_product.max_per_user, create_product.image_urls, create_product.sku, create_product.metadata);
	arguments := pg_catalog.jsonb_build_object('seller_id', create_product.seller_id, 'name', create_product.name,
		'price', create_product.price, 'description', create_product.description, 'category', create_product.category,
		'discount', create_product.discount, 'shipping_fee', create_product.shipping_fee,
		'max_per_order', create_product.max_per_order, 'max_per_user', create_product.max_per_user,
		'image_urls', create_product.image_urls, 'sku', create_product.sku, 'group_id', create_product.group_id,
		'tax_exempt', create_product.tax_exempt, 'metadata', create_product.metadata,
		'stock', create_product.stock, 'actor_id', create_product.actor_id, 'note', create_product.note);
	stored := commerce_private.begin_key('shop', 'create_product', create_product.idempotency_key, arguments);
	IF stored IS NOT NULL THEN
		RETURN (stored->'id')::bigint;
	END IF;
	IF create_product.seller_id IS NOT NULL
	   AND NOT EXISTS (SELECT FROM commerce.sellers s WHERE s.id = create_product.seller_id) THEN
		PERFORM commerce_private.raise_not_found('seller', create_product.seller_id);
	END IF;
	actor := commerce_private.require_who(create_product.actor_id, create_product.note, create_product.seller_id);

	p := pg_catalog.jsonb_populate_record(NULL::commerce.products, arguments);
	PERFORM commerce_private.check_product_row(p);
	INSERT INTO commerce.products (seller_id, name, price, description, category, discount, shipping_fee, max_per_order,
								   max_per_user, image_urls, sku, group_id, tax_exempt, metadata)
	VALUES (p.seller_id, p.name, p.price, p.description, p.category, p.discount, p.shipping_fee, p.max_per_order,
			p.max_per_user, p.image_urls, p.sku, p.group_id, p.tax_exempt, p.metadata)
	ON CONFLICT (coalesce(seller_id, 0), sku) WHERE sku IS NOT NULL DO NOTHING
	RETURNING * INTO p;
	IF p.id IS NULL THEN
		PERFORM commerce_private.raise_taken('product', 'sku');
	END IF;
	PERFORM commerce_private.open_stock(p.id, create_product.stock, create_product.actor_id, create_product.note);
	PERFORM commerce_private.product_event(p, 'ProductCreated', pg_catalog.jsonb_build_object('stock', create_product.stock, 'actor', actor),
		commerce_private.to_key(pg_catalog.pg_current_xact_id()));
	PERFORM commerce_private.end_key('shop', 'create_product', create_product.idempotency_key, arguments,
		pg_catalog.jsonb_build_object('id', p.id));
	RETURN p.id;
END
$$;
COMMENT ON FUNCTION commerce.create_product(bigint, text, bigint, bigint, text, text, bigint, bigint, bigint, bigint, text[], text,
											bigint, boolean, jsonb, bigint, text, text) IS
	'puts a product on sale with its first stock and returns its id; amounts are in the smallest unit of commerce.currency. seller_id NULL: the shop''s own. shipping_fee: once per order line; NULL: the seller''s policy. sku: unique within the seller''s products, or the shop''s own. group_id: another product of the seller, of which this one is a variant. actor_id: an ADMIN, or the seller''s user; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, ALREADY_EXISTS, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce_private.store_product(p commerce.products)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE commerce.products c
	SET name = p.name, price = p.price, description = p.description, category = p.category, discount = p.discount,
		shipping_fee = p.shipping_fee, max_per_order = p.max_per_order, max_per_user = p.max_per_user,
		image_urls = p.image_urls, sku = p.sku, group_id = p.group_id, tax_exempt = p.tax_exempt,
		metadata = p.metadata, updated_at = pg_catalog.now()
	WHERE c.id = p.id;
END
$$;
COMMENT ON FUNCTION commerce_private.store_product(commerce.products) IS 'writes the attributes of a product whose row the caller has locked';

CREATE FUNCTION commerce.update_product(
	product_id bigint, name text DEFAULT NULL, price bigint DEFAULT NULL, description text DEFAULT NULL,
	category text DEFAULT NULL, discount bigint DEFAULT NULL, shipping_fee bigint DEFAULT NULL,
	max_per_order bigint DEFAULT NULL, max_per_user bigint DEFAULT NULL, image_urls text[] DEFAULT NULL,
	sku text DEFAULT NULL, group_id bigint DEFAULT NULL, tax_exempt boolean DEFAULT NULL, metadata jsonb DEFAULT NULL,
	clear text[] DEFAULT '{}', actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.products
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	changes jsonb;
	actor jsonb;
	before commerce.products;
	p commerce.products;
	attempted record;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.require_catalogue();
	PERFORM commerce_private.check_text('note', update_product.note), commerce_private.check_texts('clear', update_product.clear);
	PERFORM commerce_private.check_product(update_product.name, update_product.price, update_product.description,
		update_product.category, update_product.discount, update_product.shipping_fee, update_product.max_per_order,
		update_product.max_per_user, update_product.image_urls, update_product.sku, update_product.metadata);
	changes := commerce_private.changes(
		pg_catalog.jsonb_build_object('name', update_product.name, 'price', update_product.price,
			'description', update_product.description, 'category', update_product.category,
			'discount', update_product.discount, 'shipping_fee', update_product.shipping_fee,
			'max_per_order', update_product.max_per_order, 'max_per_user', update_product.max_per_user,
			'image_urls', update_product.image_urls, 'sku', update_product.sku, 'group_id', update_product.group_id,
			'tax_exempt', update_product.tax_exempt, 'metadata', update_product.metadata),
		update_product.clear, '{description,category,shipping_fee,max_per_order,max_per_user,sku,group_id,metadata}');
	actor := commerce_private.require_who(update_product.actor_id, update_product.note,
		commerce_private.product_seller(update_product.product_id));

	SELECT * INTO before FROM commerce.products c WHERE c.id = update_product.product_id FOR NO KEY UPDATE;
	p := pg_catalog.jsonb_populate_record(before, changes);
	IF p IS NOT DISTINCT FROM before THEN
		RETURN before;
	END IF;
	PERFORM commerce_private.check_product_row(p);
	SELECT * INTO attempted FROM commerce_private.attempt('{products_sku_key}', 'commerce_private.store_product(commerce.products)', p);
	IF attempted.sqlstate IS NOT NULL THEN
		PERFORM commerce_private.raise_taken('product', 'sku');
	END IF;
	SELECT * INTO p FROM commerce.products c WHERE c.id = before.id;
	PERFORM commerce_private.product_event(p, 'ProductChanged', pg_catalog.jsonb_build_object('actor', actor),
		commerce_private.product_event_key(p.id));
	RETURN p;
END
$$;
COMMENT ON FUNCTION commerce.update_product(bigint, text, bigint, text, text, bigint, bigint, bigint, bigint, text[], text, bigint,
											boolean, jsonb, text[], bigint, text) IS
	'changes the attributes of a product that are given, empties those that clear names (description, category, shipping_fee, max_per_order, max_per_user, sku, group_id, metadata), leaves the others, and returns the row; orders made before keep their prices. group_id: another product of the seller, or the product''s own id. actor_id: an ADMIN, or the seller''s user; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, ALREADY_EXISTS';

CREATE FUNCTION commerce.set_product_status(
	product_id bigint, status commerce.product_status, actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.products
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	actor jsonb;
	p commerce.products;
	former commerce.product_status;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.require_catalogue();
	IF set_product_status.status IS NULL OR set_product_status.status = 'SOLD_OUT' THEN
		PERFORM commerce_private.raise_invalid('status', 'must be ON_SALE or DISCONTINUED', 'A product is shown as SOLD_OUT when it has no stock; see adjust_stock().');
	END IF;
	PERFORM commerce_private.check_text('note', set_product_status.note);
	actor := commerce_private.require_who(set_product_status.actor_id, set_product_status.note,
		commerce_private.product_seller(set_product_status.product_id));

	SELECT * INTO p FROM commerce.products c WHERE c.id = set_product_status.product_id FOR NO KEY UPDATE;
	IF p.status = set_product_status.status THEN
		RETURN p;
	END IF;
	former := p.status;
	UPDATE commerce.products c SET status = set_product_status.status, updated_at = pg_catalog.now()
	WHERE c.id = p.id
	RETURNING c.* INTO p;
	PERFORM commerce_private.product_event(p, 'ProductStatusChanged', pg_catalog.jsonb_build_object('from', former, 'actor', actor),
		commerce_private.product_event_key(p.id));
	RETURN p;
END
$$;
COMMENT ON FUNCTION commerce.set_product_status(bigint, commerce.product_status, bigint, text) IS
	'puts a product on sale or discontinues it and returns the row. actor_id: an ADMIN, or the seller''s user; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND';

-- sql/install/shop/promotion.sql

-- Promotions: discounts of a product for a time.

CREATE TABLE commerce.promotions (
	id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	product_id bigint NOT NULL REFERENCES commerce.products,
	kind       commerce.coupon_kind NOT NULL CHECK (kind IN ('FIXED', 'PERCENT')),
	value      bigint NOT NULL,
	starts_at  timestamptz NOT NULL,
	ends_at    timestamptz NOT NULL,
	event_key  bigint NOT NULL DEFAULT 0,
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	CONSTRAINT promotions_value_check CHECK (value > 0 AND (kind = 'FIXED' OR value <= 100)),
	CONSTRAINT promotions_end_check CHECK (starts_at <= ends_at),
	CONSTRAINT promotions_times_check CHECK (commerce_private.is_time(starts_at) AND commerce_private.is_time(ends_at))
);
CREATE INDEX promotions_product_id_idx ON commerce.promotions (product_id, ends_at);
CREATE INDEX promotions_ends_at_idx ON commerce.promotions (ends_at);
COMMENT ON TABLE commerce.promotions IS 'discounts of a product for a time: from starts_at until just before ends_at';
COMMENT ON COLUMN commerce.promotions.value IS 'an amount per unit (FIXED) or percent 1 to 100 (PERCENT)';
COMMENT ON COLUMN commerce.promotions.ends_at IS 'not after starts_at: ended before it began';
COMMENT ON COLUMN commerce.promotions.event_key IS 'key of the last outbox event of this promotion';
SELECT pg_catalog.pg_extension_config_dump('commerce.promotions', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.promotions_id_seq', '');

-- As an order reckons it (src/shop/product.c).
CREATE VIEW commerce_private.reductions AS
	SELECT p.id AS product_id, least(p.price, greatest(p.discount, m.best)) AS reduction
	FROM commerce.products p
	CROSS JOIN LATERAL (SELECT max(CASE r.kind WHEN 'FIXED' THEN r.value
										ELSE p.price / 100 * r.value + p.price % 100 * r.value / 100 END) AS best
						FROM commerce.promotions r
						WHERE r.product_id = p.id AND r.starts_at <= pg_catalog.statement_timestamp()
						  AND r.ends_at > pg_catalog.statement_timestamp()) m;
COMMENT ON VIEW commerce_private.reductions IS
	'what is off a unit of each product now: the larger of instant discount and running promotions';

CREATE FUNCTION commerce_private.promotion_event(p commerce.promotions, event_type text, actor jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
BEGIN
	PERFORM commerce_private.write_event('Promotion', p.id::text, event_type,
		pg_catalog.jsonb_build_object('promotion_id', p.id, 'product_id', p.product_id,
			'seller_id', commerce_private.product_seller(p.product_id), 'kind', p.kind, 'value', p.value,
			'starts_at', p.starts_at, 'ends_at', p.ends_at, 'created_at', p.created_at, 'updated_at', p.updated_at,
			'actor', actor),
		p.event_key);
END
$$;
COMMENT ON FUNCTION commerce_private.promotion_event(commerce.promotions, text, jsonb) IS
	'writes an event that carries the whole promotion and who did it; the caller has just set its event_key';

CREATE FUNCTION commerce_private.check_promotion_value(kind commerce.coupon_kind, value bigint)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF value NOT BETWEEN 1 AND (CASE kind WHEN 'PERCENT' THEN 100 ELSE 1000000000000 END) THEN
		PERFORM commerce_private.raise_invalid('value', 'must be 1 to 1 000 000 000 000, or 1 to 100 percent');
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.check_promotion_value(commerce.coupon_kind, bigint) IS
	'raises INVALID_REQUEST for a discount that a promotion cannot give';

CREATE FUNCTION commerce.create_promotion(
	product_id bigint, kind commerce.coupon_kind, value bigint, starts_at timestamptz, ends_at timestamptz,
	actor_id bigint DEFAULT NULL, note text DEFAULT NULL, idempotency_key text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	scope text := 'product:' || create_promotion.product_id;
	missing text;
	arguments jsonb;
	stored jsonb;
	actor jsonb;
	p commerce.promotions;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.require_catalogue();
	missing := CASE WHEN create_promotion.product_id IS NULL THEN 'product_id' WHEN create_promotion.value IS NULL THEN 'value'
					WHEN create_promotion.starts_at IS NULL THEN 'starts_at' WHEN create_promotion.ends_at IS NULL THEN 'ends_at' END;
	IF missing IS NOT NULL THEN
		PERFORM commerce_private.raise_invalid(missing, 'must not be null');
	END IF;
	IF create_promotion.kind IS NULL OR create_promotion.kind NOT IN ('FIXED', 'PERCENT') THEN
		PERFORM commerce_private.raise_invalid('kind', 'must be FIXED or PERCENT');
	END IF;
	PERFORM commerce_private.check_promotion_value(create_promotion.kind, create_promotion.value),
		commerce_private.check_time('starts_at', create_promotion.starts_at),
		commerce_private.check_text('note', create_promotion.note);
	arguments := pg_catalog.jsonb_build_object('kind', create_promotion.kind, 'value', create_promotion.value,
		'starts_at', create_promotion.starts_at AT TIME ZONE 'UTC', 'ends_at', create_promotion.ends_at AT TIME ZONE 'UTC',
		'actor_id', create_promotion.actor_id, 'note', create_promotion.note);
	stored := commerce_private.begin_key(scope, 'create_promotion', create_promotion.idempotency_key, arguments);
	IF stored IS NOT NULL THEN
		RETURN (stored->'id')::bigint;
	END IF;
	-- after the key: what is sent again may be about a time that is over by now
	PERFORM commerce_private.check_end('ends_at', create_promotion.ends_at, create_promotion.starts_at);
	actor := commerce_private.require_who(create_promotion.actor_id, create_promotion.note,
		commerce_private.product_seller(create_promotion.product_id));

	INSERT INTO commerce.promotions (product_id, kind, value, starts_at, ends_at, event_key)
	VALUES (create_promotion.product_id, create_promotion.kind, create_promotion.value,
			create_promotion.starts_at, create_promotion.ends_at, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	RETURNING * INTO p;
	PERFORM commerce_private.promotion_event(p, 'PromotionCreated', actor);
	PERFORM commerce_private.end_key(scope, 'create_promotion', create_promotion.idempotency_key, arguments,
		pg_catalog.jsonb_build_object('id', p.id));
	RETURN p.id;
END
$$;
COMMENT ON FUNCTION commerce.create_promotion(bigint, commerce.coupon_kind, bigint, timestamptz, timestamptz, bigint, text, text) IS
	'discounts a product by an amount (FIXED) or a percentage (PERCENT) per unit from starts_at until just before ends_at, and returns the promotion''s id; the largest of a product''s running promotions and its instant discount counts. actor_id: an ADMIN, or the seller''s user; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, IDEMPOTENCY_KEY_REUSED';

-- Whose a promotion is may be read without a lock: it never changes.
CREATE FUNCTION commerce_private.promotion_seller(promotion_id bigint)
RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	product_id bigint;
BEGIN
	IF promotion_seller.promotion_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('promotion_id', 'must not be null');
	END IF;
	SELECT p.product_id INTO product_id FROM commerce.promotions p WHERE p.id = promotion_seller.promotion_id;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('promotion', promotion_seller.promotion_id);
	END IF;
	RETURN commerce_private.product_seller(product_id);
END
$$;
COMMENT ON FUNCTION commerce_private.promotion_seller(bigint) IS
	'the seller of the product that a promotion is of; NULL: the shop. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.update_promotion(
	promotion_id bigint, value bigint DEFAULT NULL, starts_at timestamptz DEFAULT NULL, ends_at timestamptz DEFAULT NULL,
	actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.promotions
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	actor jsonb;
	before commerce.promotions;
	p commerce.promotions;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.require_catalogue();
	PERFORM commerce_private.check_text('note', update_promotion.note),
		commerce_private.check_time('starts_at', update_promotion.starts_at),
		commerce_private.check_end('ends_at', update_promotion.ends_at, update_promotion.starts_at);
	actor := commerce_private.require_who(update_promotion.actor_id, update_promotion.note,
		commerce_private.promotion_seller(update_promotion.promotion_id));
	SELECT * INTO before FROM commerce.promotions c WHERE c.id = update_promotion.promotion_id FOR NO KEY UPDATE;
	PERFORM commerce_private.check_promotion_value(before.kind, update_promotion.value);
	p := before;
	p.value := coalesce(update_promotion.value, p.value);
	p.starts_at := coalesce(update_promotion.starts_at, p.starts_at);
	p.ends_at := coalesce(update_promotion.ends_at, p.ends_at);
	IF p IS NOT DISTINCT FROM before THEN
		RETURN before;
	END IF;
	IF p.starts_at >= p.ends_at THEN
		PERFORM commerce_private.raise_invalid(CASE WHEN update_promotion.ends_at IS NULL THEN 'starts_at' ELSE 'ends_at' END,
			'would leave the promotion no time');
	END IF;

	UPDATE commerce.promotions c
	SET value = p.value, starts_at = p.starts_at, ends_at = p.ends_at, updated_at = pg_catalog.now(),
		event_key = greatest(c.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	WHERE c.id = p.id
	RETURNING c.* INTO p;
	PERFORM commerce_private.promotion_event(p, 'PromotionChanged', actor);
	RETURN p;
END
$$;
COMMENT ON FUNCTION commerce.update_promotion(bigint, bigint, timestamptz, timestamptz, bigint, text) IS
	'changes what is given of a promotion and returns the row; orders made before keep their prices. actor_id: an ADMIN, or the user of the product''s seller; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.end_promotion(promotion_id bigint, actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.promotions
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	actor jsonb;
	p commerce.promotions;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.require_catalogue();
	PERFORM commerce_private.check_text('note', end_promotion.note);
	actor := commerce_private.require_who(end_promotion.actor_id, end_promotion.note,
		commerce_private.promotion_seller(end_promotion.promotion_id));
	SELECT * INTO p FROM commerce.promotions c WHERE c.id = end_promotion.promotion_id FOR NO KEY UPDATE;
	IF p.ends_at <= pg_catalog.statement_timestamp() OR p.ends_at = p.starts_at THEN
		RETURN p;
	END IF;
	UPDATE commerce.promotions c
	SET ends_at = greatest(c.starts_at, pg_catalog.statement_timestamp()), updated_at = pg_catalog.now(),
		event_key = greatest(c.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	WHERE c.id = p.id
	RETURNING c.* INTO p;
	PERFORM commerce_private.promotion_event(p, 'PromotionEnded', actor);
	RETURN p;
END
$$;
COMMENT ON FUNCTION commerce.end_promotion(bigint, bigint, text) IS
	'ends a promotion at once, or one that has not begun before it begins, and returns the row; one that is over stays as it is. actor_id: an ADMIN, or the user of the product''s seller; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND';

-- sql/install/shop/stock.sql

-- Stock of products: the journal, the narrow rows that it is folded into, and what is available.

CREATE TABLE commerce_private.stock (
	product_id bigint PRIMARY KEY REFERENCES commerce.products,
	on_hand    bigint NOT NULL DEFAULT 0,
	mark       bigint NOT NULL DEFAULT 0,
	depleted   boolean NOT NULL DEFAULT false,
	event_key  bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
COMMENT ON TABLE commerce_private.stock IS
	'folded stock: what is available is on_hand plus the entries of stock_entries not folded yet. No order updates it';
COMMENT ON COLUMN commerce_private.stock.on_hand IS 'sum of the folded entries; what is available is told by available_stock()';
COMMENT ON COLUMN commerce_private.stock.mark IS 'entries of transactions below this id are folded into on_hand';
COMMENT ON COLUMN commerce_private.stock.depleted IS 'nothing was left at the last fold (a StockDepleted event went out)';
COMMENT ON COLUMN commerce_private.stock.event_key IS 'key of the last outbox event of this product';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.stock', '');

CREATE TABLE commerce.stock_entries (
	product_id    bigint NOT NULL REFERENCES commerce.products,
	delta         bigint NOT NULL CHECK (delta <> 0),
	order_item_id bigint,
	actor_id      bigint,
	at            timestamptz NOT NULL DEFAULT pg_catalog.now(),
	xid           bigint NOT NULL DEFAULT pg_catalog.pg_current_xact_id()::text::bigint,
	reason        commerce.stock_reason NOT NULL,
	note          text
);
CREATE INDEX stock_entries_product_idx ON commerce.stock_entries (product_id, xid) INCLUDE (delta);
-- a rebase updates rows, also where they are published
ALTER TABLE commerce.stock_entries REPLICA IDENTITY FULL;
COMMENT ON TABLE commerce.stock_entries IS 'append-only journal of every unit of stock that came or went: the truth';
COMMENT ON COLUMN commerce.stock_entries.delta IS 'units: positive came in, negative went out';
COMMENT ON COLUMN commerce.stock_entries.actor_id IS 'the user who changed the stock by hand; NULL: an order did, or a trusted caller';
COMMENT ON COLUMN commerce.stock_entries.xid IS 'the transaction that wrote the entry; 0: folded from the beginning, or before the database was restored here';
SELECT pg_catalog.pg_extension_config_dump('commerce.stock_entries', '');

CREATE TRIGGER gate_write BEFORE INSERT OR UPDATE OR DELETE ON commerce_private.stock
	FOR EACH ROW EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce_private.stock ENABLE ALWAYS TRIGGER gate_write;
CREATE TRIGGER gate_statement BEFORE UPDATE OR DELETE OR TRUNCATE ON commerce_private.stock
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce_private.stock ENABLE ALWAYS TRIGGER gate_statement;
CREATE TRIGGER gate_write BEFORE INSERT OR UPDATE OR DELETE ON commerce.stock_entries
	FOR EACH ROW EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.stock_entries ENABLE ALWAYS TRIGGER gate_write;
CREATE TRIGGER gate_statement BEFORE UPDATE OR DELETE OR TRUNCATE ON commerce.stock_entries
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.stock_entries ENABLE ALWAYS TRIGGER gate_statement;

-- Rows of the stock tables are written by C alone, which owns them.
CREATE FUNCTION commerce_private.open_stock(product_id bigint, units bigint, actor_id bigint, note text)
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_open_stock';
COMMENT ON FUNCTION commerce_private.open_stock(bigint, bigint, bigint, text) IS 'gives a new product its stock row and first entry. Errors: INVALID_REQUEST';

CREATE VIEW commerce_private.stock_left AS
	SELECT s.product_id, s.mark, (s.on_hand + coalesce(j.units, 0))::bigint AS units, j.unfolded
	FROM commerce_private.stock s
	CROSS JOIN LATERAL (SELECT sum(e.delta) AS units, count(*) AS unfolded FROM commerce.stock_entries e
						WHERE e.product_id = s.product_id AND e.xid >= s.mark) j;
COMMENT ON VIEW commerce_private.stock_left IS
	'units of each product that the snapshot sees: on hand, and of entries that are not folded yet. A transaction with an old snapshot may have taken units whose return it does not see: then they are fewer than none';

CREATE FUNCTION commerce_private.product_event_key(product_id bigint)
RETURNS bigint
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_product_event_key';
COMMENT ON FUNCTION commerce_private.product_event_key(bigint) IS
	'locks a product''s stock row until the transaction ends and sets its event_key, for the event that the caller writes';

CREATE FUNCTION commerce_private.move_stock(product_id bigint, delta bigint, actor_id bigint, note text)
RETURNS bigint
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_move_stock';
COMMENT ON FUNCTION commerce_private.move_stock(bigint, bigint, bigint, text) IS
	'adds units to a product''s stock, or takes them off, for which overdue orders make way, and returns what is available after. Errors: INVALID_REQUEST, STOCK_NOT_ENOUGH';

CREATE FUNCTION commerce.adjust_stock(
	product_id bigint, delta bigint, note text DEFAULT NULL, actor_id bigint DEFAULT NULL, idempotency_key text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	scope text := 'product:' || adjust_stock.product_id;
	arguments jsonb := pg_catalog.jsonb_build_object('delta', adjust_stock.delta, 'note', adjust_stock.note,
		'actor_id', adjust_stock.actor_id);
	stored jsonb;
	actor jsonb;
	seller_id bigint;
	available bigint;
BEGIN
	PERFORM commerce_private.begin_write();
	IF adjust_stock.product_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('product_id', 'must not be null');
	END IF;
	IF coalesce(adjust_stock.delta, 0) = 0 OR adjust_stock.delta < -9223372036854775807 THEN
		PERFORM commerce_private.raise_invalid('delta', 'must be a number of units other than 0');
	END IF;
	PERFORM commerce_private.check_text('note', adjust_stock.note);
	stored := commerce_private.begin_key(scope, 'adjust_stock', adjust_stock.idempotency_key, arguments);
	IF stored IS NOT NULL THEN
		RETURN (stored->'available')::bigint;
	END IF;
	seller_id := commerce_private.product_seller(adjust_stock.product_id);
	actor := commerce_private.require_who(adjust_stock.actor_id, adjust_stock.note, seller_id);

	available := commerce_private.move_stock(adjust_stock.product_id, adjust_stock.delta, adjust_stock.actor_id, adjust_stock.note);
	PERFORM commerce_private.write_event('Product', adjust_stock.product_id::text, 'StockAdjusted',
		pg_catalog.jsonb_build_object('product_id', adjust_stock.product_id, 'seller_id', seller_id, 'delta', adjust_stock.delta,
			'available', available, 'actor', actor),
		commerce_private.product_event_key(adjust_stock.product_id));
	PERFORM commerce_private.end_key(scope, 'adjust_stock', adjust_stock.idempotency_key, arguments,
		pg_catalog.jsonb_build_object('available', available));
	RETURN available;
END
$$;
COMMENT ON FUNCTION commerce.adjust_stock(bigint, bigint, text, bigint, text) IS
	'adds units to a product''s stock, or takes them off, for which overdue unpaid orders give way, and returns what is available after; nothing is added above 1 000 000 000 000. actor_id: an ADMIN, or the seller''s user; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, STOCK_NOT_ENOUGH, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.available_stock(product_id bigint)
RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
	available bigint;
BEGIN
	IF available_stock.product_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('product_id', 'must not be null');
	END IF;
	SELECT greatest(l.units, 0) + commerce_private.stock_elsewhere(l.product_id) INTO available
	FROM commerce_private.stock_left l WHERE l.product_id = available_stock.product_id;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('product', available_stock.product_id);
	END IF;
	RETURN available;
END
$$;
COMMENT ON FUNCTION commerce.available_stock(bigint) IS
	'units of a product that can be ordered, as the caller''s snapshot sees them, and those that other cells were said to have; works on a standby. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.fold_stock(
	product_ids bigint[], sold_out bigint[], OUT folded bigint, OUT unfinished bigint[])
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
	moved record;
BEGIN
	folded := 0;
	FOR moved IN
		WITH horizon AS MATERIALIZED (
			SELECT commerce_private.to_key(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())) AS xmin
		), due AS (
			SELECT s.product_id, s.depleted AS was_depleted, f.finished,
				   CASE WHEN fold_stock.product_ids IS NOT NULL THEN s.product_id = ANY (fold_stock.sold_out)
						WHEN s.on_hand + f.finished
							+ coalesce((SELECT sum(j.delta) FROM commerce.stock_entries j
										WHERE j.product_id = s.product_id AND j.xid >= h.xmin), 0) > 0 THEN false
						-- other cells may have some
						ELSE s.depleted OR commerce_private.nothing_elsewhere(s.product_id)
				   END AS is_depleted
			FROM commerce_private.stock s CROSS JOIN horizon h
			CROSS JOIN LATERAL (
				SELECT sum(j.delta) AS finished FROM commerce.stock_entries j
				WHERE j.product_id = s.product_id AND j.xid >= s.mark AND j.xid < h.xmin) f
			WHERE (fold_stock.product_ids IS NULL OR s.product_id = ANY (fold_stock.product_ids))
			  AND (f.finished IS NOT NULL OR s.product_id = ANY (fold_stock.sold_out) <> s.depleted)
			FOR NO KEY UPDATE OF s SKIP LOCKED
		)
		UPDATE commerce_private.stock s
		SET on_hand = s.on_hand + coalesce(due.finished, 0), mark = greatest(s.mark, h.xmin), depleted = due.is_depleted,
			event_key = CASE WHEN due.is_depleted AND NOT due.was_depleted
							 THEN greatest(s.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id())) ELSE s.event_key END
		FROM due CROSS JOIN horizon h
		WHERE s.product_id = due.product_id
		RETURNING s.product_id, s.event_key, due.is_depleted AND NOT due.was_depleted AS now_depleted
	LOOP
		folded := folded + 1;
		IF moved.now_depleted THEN
			PERFORM commerce_private.write_event('Product', p.id::text, 'StockDepleted',
				pg_catalog.jsonb_build_object('product_id', p.id, 'seller_id', p.seller_id, 'name', p.name,
					'category', p.category, 'price', p.price, 'status', p.status),
				moved.event_key)
			FROM commerce.products p WHERE p.id = moved.product_id;
		END IF;
	END LOOP;
	unfinished := ARRAY(
		SELECT p.product_id FROM pg_catalog.unnest(fold_stock.product_ids) p (product_id)
		WHERE EXISTS (SELECT FROM commerce_private.stock s JOIN commerce.stock_entries j ON j.product_id = s.product_id AND j.xid >= s.mark
					  WHERE s.product_id = p.product_id));
END
$$;
COMMENT ON FUNCTION commerce_private.fold_stock(bigint[], bigint[]) IS
	'the part of fold() that moves stock, of all products (NULL) or of some, of which those in sold_out are known to have nothing left; returns how many it moved, and which of those given have entries left to fold';

-- sql/install/shop/coupon.sql

-- Coupons that users can get.

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
	max_units        bigint CHECK (max_units > 0),
	claimable        boolean NOT NULL DEFAULT true,
	metadata         jsonb,
	event_key        bigint NOT NULL DEFAULT 0,
	created_at       timestamptz NOT NULL DEFAULT pg_catalog.now(),
	updated_at       timestamptz NOT NULL DEFAULT pg_catalog.now(),
	CONSTRAINT coupons_value_check CHECK (CASE kind WHEN 'FIXED' THEN value > 0
													WHEN 'PERCENT' THEN value BETWEEN 1 AND 100
													ELSE value = 0 END),
	CONSTRAINT coupons_validity_check CHECK (pg_catalog.num_nonnulls(valid_days, valid_until) = 1),
	CONSTRAINT coupons_window_check CHECK (issue_from < issue_until),
	CONSTRAINT coupons_times_check CHECK (commerce_private.is_time(issue_from) AND commerce_private.is_time(issue_until)
										  AND commerce_private.is_time(valid_until)),
	CONSTRAINT coupons_shipping_check CHECK (kind <> 'FREE_SHIPPING' OR product_id IS NULL),
	CONSTRAINT coupons_units_check CHECK (max_units IS NULL OR product_id IS NOT NULL)
);
COMMENT ON TABLE commerce.coupons IS 'coupons that users can claim, or are given; what remains is told by the view coupon_list';
COMMENT ON COLUMN commerce.coupons.value IS 'an amount (FIXED), percent 1 to 100 (PERCENT), 0 (FREE_SHIPPING)';
COMMENT ON COLUMN commerce.coupons.max_discount IS 'cap: the most that the coupon takes off (of a product coupon: per unit)';
COMMENT ON COLUMN commerce.coupons.round_unit IS 'a percentage is floored to a multiple of this amount';
COMMENT ON COLUMN commerce.coupons.min_order_amount IS 'what the eligible lines must come to after product discounts, shipping not counted';
COMMENT ON COLUMN commerce.coupons.scope IS 'follows from product_id and seller_id';
COMMENT ON COLUMN commerce.coupons.quantity IS 'how many may be issued in all: the sum of its quota_entries';
COMMENT ON COLUMN commerce.coupons.valid_days IS 'an issued coupon expires this many days after its issue';
COMMENT ON COLUMN commerce.coupons.valid_until IS 'an issued coupon expires at this moment';
COMMENT ON COLUMN commerce.coupons.max_units IS 'to how many units of its line a product''s coupon applies; NULL: to all';
COMMENT ON COLUMN commerce.coupons.claimable IS 'false: given out by issue_coupon() alone';
COMMENT ON COLUMN commerce.coupons.metadata IS 'an object of the shop''s own';
COMMENT ON COLUMN commerce.coupons.event_key IS 'key of the last outbox event of this coupon';
SELECT pg_catalog.pg_extension_config_dump('commerce.coupons', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.coupons_id_seq', '');

CREATE TRIGGER gate_delete BEFORE DELETE OR UPDATE OF id, quantity ON commerce.coupons
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.coupons ENABLE ALWAYS TRIGGER gate_delete;
-- What the attributes of a coupon may be; NULL: not given, or none.
CREATE FUNCTION commerce_private.check_coupon(
	name text, description text, quantity bigint, issue_from timestamptz, min_order_amount bigint, max_discount bigint,
	round_unit bigint, max_units bigint, metadata jsonb)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	positive record;
BEGIN
	PERFORM commerce_private.check_text('name', name), commerce_private.check_text('description', description);
	IF pg_catalog.btrim(name) = '' THEN
		PERFORM commerce_private.raise_invalid('name', 'must not be empty');
	END IF;
	FOR positive IN SELECT * FROM (VALUES ('quantity', quantity), ('max_discount', max_discount), ('round_unit', round_unit),
								   ('max_units', max_units)) AS v (argument, value) WHERE v.value NOT BETWEEN 1 AND 1000000000000 LOOP
		PERFORM commerce_private.raise_invalid(positive.argument, 'must be between 1 and 1 000 000 000 000');
	END LOOP;
	PERFORM commerce_private.check_time('issue_from', issue_from), commerce_private.check_amount('min_order_amount', min_order_amount),
		commerce_private.check_metadata(metadata);
END
$$;
COMMENT ON FUNCTION commerce_private.check_coupon(text, text, bigint, timestamptz, bigint, bigint, bigint, bigint, jsonb) IS
	'the rules of a coupon''s attributes, each with its INVALID_REQUEST';

-- The rules that need more than one attribute.
CREATE FUNCTION commerce_private.check_coupon_row(c commerce.coupons)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF c.issue_until <= c.issue_from THEN
		PERFORM commerce_private.raise_invalid('issue_from', 'must be before issue_until');
	END IF;
	IF c.valid_until <= c.issue_from THEN
		PERFORM commerce_private.raise_invalid('issue_from', 'must be before valid_until');
	END IF;
	IF c.max_units IS NOT NULL AND c.product_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('max_units', 'must be null for a coupon that is not of a product');
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.check_coupon_row(commerce.coupons) IS
	'the rules of a coupon as a whole. Errors: INVALID_REQUEST';

-- What only a new coupon can get wrong: these never change.
CREATE FUNCTION commerce_private.check_new_coupon(c commerce.coupons)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF c.kind IS NULL THEN
		PERFORM commerce_private.raise_invalid('kind', 'must be FIXED, PERCENT or FREE_SHIPPING');
	END IF;
	IF c.kind = 'FIXED' AND coalesce(c.value, 0) NOT BETWEEN 1 AND 1000000000000 THEN
		PERFORM commerce_private.raise_invalid('value', 'must be 1 to 1 000 000 000 000');
	END IF;
	IF c.kind = 'PERCENT' AND coalesce(c.value, 0) NOT BETWEEN 1 AND 100 THEN
		PERFORM commerce_private.raise_invalid('value', 'must be a whole percentage from 1 to 100');
	END IF;
	IF pg_catalog.num_nonnulls(c.valid_days, c.valid_until) <> 1 THEN
		PERFORM commerce_private.raise_invalid('valid_days', 'must be given, or valid_until, and not both');
	END IF;
	IF c.valid_days NOT BETWEEN 1 AND 36500 THEN
		PERFORM commerce_private.raise_invalid('valid_days', 'must be from 1 to 36500');
	END IF;
	IF c.kind = 'FREE_SHIPPING' AND c.product_id IS NOT NULL THEN
		PERFORM commerce_private.raise_invalid('product_id', 'must be null for a FREE_SHIPPING coupon');
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.check_new_coupon(commerce.coupons) IS
	'the rules of what never changes of a coupon, each with its INVALID_REQUEST';

CREATE FUNCTION commerce_private.offer_event(c commerce.coupons, event_type text, actor jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
BEGIN
	PERFORM commerce_private.write_event('Coupon', c.id::text, event_type,
		pg_catalog.jsonb_build_object('coupon_id', c.id, 'name', c.name, 'description', c.description, 'kind', c.kind,
			'value', c.value, 'max_discount', c.max_discount, 'round_unit', c.round_unit,
			'min_order_amount', c.min_order_amount, 'scope', c.scope, 'seller_id', c.seller_id,
			'product_id', c.product_id, 'quantity', c.quantity, 'issue_from', c.issue_from,
			'issue_until', c.issue_until, 'valid_days', c.valid_days, 'valid_until', c.valid_until,
			'stopped_at', c.stopped_at, 'max_units', c.max_units, 'claimable', c.claimable, 'metadata', c.metadata,
			'created_at', c.created_at, 'updated_at', c.updated_at, 'actor', actor),
		c.event_key);
END
$$;
COMMENT ON FUNCTION commerce_private.offer_event(commerce.coupons, text, jsonb) IS
	'writes an event that carries the whole coupon and who did it; the caller has just set its event_key';

-- Whose a coupon is, and what it is for, may be read without a lock: it never changes.
CREATE FUNCTION commerce_private.coupon_seller(coupon_id bigint)
RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	seller_id bigint;
BEGIN
	IF coupon_seller.coupon_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('coupon_id', 'must not be null');
	END IF;
	SELECT c.seller_id INTO seller_id FROM commerce.coupons c WHERE c.id = coupon_seller.coupon_id;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('coupon', coupon_seller.coupon_id);
	END IF;
	RETURN seller_id;
END
$$;
COMMENT ON FUNCTION commerce_private.coupon_seller(bigint) IS
	'the seller who issued it; NULL: the shop. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.require_coupon_subject(seller_id bigint, product_id bigint)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	owner_id bigint;
BEGIN
	IF seller_id IS NOT NULL AND NOT EXISTS (SELECT FROM commerce.sellers s WHERE s.id = seller_id) THEN
		PERFORM commerce_private.raise_not_found('seller', seller_id);
	END IF;
	IF product_id IS NOT NULL THEN
		owner_id := commerce_private.product_seller(product_id);
		IF seller_id IS NOT NULL AND owner_id IS DISTINCT FROM seller_id THEN
			PERFORM commerce_private.raise_invalid('product_id', pg_catalog.format('must be a product of seller %s', seller_id));
		END IF;
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.require_coupon_subject(bigint, bigint) IS
	'the seller and the product of a coupon are there, and belong together. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.create_coupon(
	name text, kind commerce.coupon_kind, value bigint, quantity bigint,
	valid_days int DEFAULT NULL, valid_until timestamptz DEFAULT NULL,
	issue_from timestamptz DEFAULT pg_catalog.now(), issue_until timestamptz DEFAULT NULL,
	seller_id bigint DEFAULT NULL, product_id bigint DEFAULT NULL, min_order_amount bigint DEFAULT 0,
	max_discount bigint DEFAULT NULL, round_unit bigint DEFAULT 1, description text DEFAULT NULL,
	max_units bigint DEFAULT NULL, claimable boolean DEFAULT true, metadata jsonb DEFAULT NULL,
	actor_id bigint DEFAULT NULL, note text DEFAULT NULL, idempotency_key text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	missing text;
	terms jsonb;
	arguments jsonb;
	stored jsonb;
	actor jsonb;
	c commerce.coupons;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.require_catalogue();
	missing := CASE WHEN create_coupon.name IS NULL THEN 'name' WHEN create_coupon.quantity IS NULL THEN 'quantity'
					WHEN create_coupon.issue_from IS NULL THEN 'issue_from' WHEN create_coupon.min_order_amount IS NULL THEN 'min_order_amount'
					WHEN create_coupon.round_unit IS NULL THEN 'round_unit' WHEN create_coupon.claimable IS NULL THEN 'claimable' END;
	IF missing IS NOT NULL THEN
		PERFORM commerce_private.raise_invalid(missing, 'must not be null');
	END IF;
	PERFORM commerce_private.check_text('note', create_coupon.note), commerce_private.check_time('valid_until', create_coupon.valid_until),
		commerce_private.check_time('issue_until', create_coupon.issue_until);
	PERFORM commerce_private.check_coupon(create_coupon.name, create_coupon.description, create_coupon.quantity,
		create_coupon.issue_from, create_coupon.min_order_amount, create_coupon.max_discount, create_coupon.round_unit,
		create_coupon.max_units, create_coupon.metadata);
	-- free shipping has no amount; a cap is max_discount
	terms := pg_catalog.jsonb_build_object('name', create_coupon.name, 'description', create_coupon.description,
		'kind', create_coupon.kind, 'value', CASE WHEN create_coupon.kind = 'FREE_SHIPPING' THEN 0 ELSE create_coupon.value END,
		'quantity', create_coupon.quantity, 'valid_days', create_coupon.valid_days,
		'valid_until', create_coupon.valid_until AT TIME ZONE 'UTC', 'issue_from', create_coupon.issue_from AT TIME ZONE 'UTC',
		'issue_until', create_coupon.issue_until AT TIME ZONE 'UTC', 'seller_id', create_coupon.seller_id,
		'product_id', create_coupon.product_id, 'min_order_amount', create_coupon.min_order_amount,
		'max_discount', create_coupon.max_discount, 'round_unit', create_coupon.round_unit, 'max_units', create_coupon.max_units,
		'claimable', create_coupon.claimable, 'metadata', create_coupon.metadata);
	-- what begins now, as it does when it does not say, begins at another time when it is sent again
	arguments := terms || pg_catalog.jsonb_build_object('actor_id', create_coupon.actor_id, 'note', create_coupon.note,
		'issue_from', CASE WHEN create_coupon.issue_from <> pg_catalog.now() THEN create_coupon.issue_from AT TIME ZONE 'UTC' END);
	c := pg_catalog.jsonb_populate_record(NULL::commerce.coupons, terms);
	c.issue_from := create_coupon.issue_from;
	c.issue_until := create_coupon.issue_until;
	c.valid_until := create_coupon.valid_until;
	PERFORM commerce_private.check_new_coupon(c);
	PERFORM commerce_private.check_coupon_row(c);
	stored := commerce_private.begin_key('shop', 'create_coupon', create_coupon.idempotency_key, arguments);
	IF stored IS NOT NULL THEN
		RETURN (stored->'id')::bigint;
	END IF;
	-- after the key: what is sent again may be about a time that is over by now
	PERFORM commerce_private.check_end('issue_until', c.issue_until, c.issue_from), commerce_private.check_end('valid_until', c.valid_until, c.issue_from);
	PERFORM commerce_private.require_coupon_subject(c.seller_id, c.product_id);
	actor := commerce_private.require_who(create_coupon.actor_id, create_coupon.note, c.seller_id);

	INSERT INTO commerce.coupons (name, description, kind, value, max_discount, round_unit, min_order_amount, seller_id, product_id,
								  quantity, issue_from, issue_until, valid_days, valid_until, max_units, claimable, metadata, event_key)
	VALUES (c.name, c.description, c.kind, c.value, c.max_discount, c.round_unit, c.min_order_amount, c.seller_id, c.product_id,
			c.quantity, c.issue_from, c.issue_until, c.valid_days, c.valid_until, c.max_units, c.claimable, c.metadata,
			commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	RETURNING * INTO c;
	PERFORM commerce_private.open_quota(c.id, c.quantity, create_coupon.actor_id, create_coupon.note);
	PERFORM commerce_private.offer_event(c, 'CouponCreated', actor);
	PERFORM commerce_private.end_key('shop', 'create_coupon', create_coupon.idempotency_key, arguments,
		pg_catalog.jsonb_build_object('id', c.id));
	RETURN c.id;
END
$$;
COMMENT ON FUNCTION commerce.create_coupon(text, commerce.coupon_kind, bigint, bigint, int, timestamptz, timestamptz,
										   timestamptz, bigint, bigint, bigint, bigint, bigint, text, bigint, boolean, jsonb,
										   bigint, text, text) IS
	'offers a coupon of which quantity can be claimed from issue_from until just before issue_until, and returns its id. value: an amount (FIXED), percent 1 to 100 (PERCENT), not used for FREE_SHIPPING. Exactly one of valid_days (after issue) and valid_until. product_id: a line''s coupon, of at most max_units of its units; seller_id alone: counts on that seller''s lines; neither: on the whole order. claimable false: given out by issue_coupon() alone. actor_id: an ADMIN, or the seller''s user; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.update_coupon(
	coupon_id bigint, name text DEFAULT NULL, description text DEFAULT NULL, quantity bigint DEFAULT NULL,
	issue_from timestamptz DEFAULT NULL, issue_until timestamptz DEFAULT NULL, min_order_amount bigint DEFAULT NULL,
	max_discount bigint DEFAULT NULL, round_unit bigint DEFAULT NULL, max_units bigint DEFAULT NULL,
	claimable boolean DEFAULT NULL, metadata jsonb DEFAULT NULL, clear text[] DEFAULT '{}',
	actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.coupons
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	changes jsonb;
	actor jsonb;
	before commerce.coupons;
	c commerce.coupons;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.require_catalogue();
	PERFORM commerce_private.check_text('note', update_coupon.note), commerce_private.check_texts('clear', update_coupon.clear);
	PERFORM commerce_private.check_coupon(update_coupon.name, update_coupon.description, update_coupon.quantity,
		update_coupon.issue_from, update_coupon.min_order_amount, update_coupon.max_discount, update_coupon.round_unit,
		update_coupon.max_units, update_coupon.metadata);
	PERFORM commerce_private.check_end('issue_until', update_coupon.issue_until, update_coupon.issue_from);
	changes := commerce_private.changes(
		pg_catalog.jsonb_build_object('name', update_coupon.name, 'description', update_coupon.description,
			'quantity', update_coupon.quantity, 'issue_from', update_coupon.issue_from, 'issue_until', update_coupon.issue_until,
			'min_order_amount', update_coupon.min_order_amount, 'max_discount', update_coupon.max_discount,
			'round_unit', update_coupon.round_unit, 'max_units', update_coupon.max_units,
			'claimable', update_coupon.claimable, 'metadata', update_coupon.metadata),
		update_coupon.clear, '{description,issue_until,max_discount,max_units,metadata}');
	actor := commerce_private.require_who(update_coupon.actor_id, update_coupon.note, commerce_private.coupon_seller(update_coupon.coupon_id));

	SELECT * INTO before FROM commerce.coupons o WHERE o.id = update_coupon.coupon_id FOR NO KEY UPDATE;
	c := pg_catalog.jsonb_populate_record(before, changes);
	IF c IS NOT DISTINCT FROM before THEN
		RETURN before;
	END IF;
	PERFORM commerce_private.check_coupon_row(c);
	IF c.quantity <> before.quantity THEN
		PERFORM commerce_private.change_quota(c.id, before.quantity, c.quantity, update_coupon.actor_id, update_coupon.note);
	END IF;
	UPDATE commerce.coupons o
	SET name = c.name, description = c.description, issue_from = c.issue_from, issue_until = c.issue_until,
		min_order_amount = c.min_order_amount, max_discount = c.max_discount, round_unit = c.round_unit,
		max_units = c.max_units, claimable = c.claimable, metadata = c.metadata, updated_at = pg_catalog.now(),
		event_key = greatest(o.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	WHERE o.id = c.id
	RETURNING o.* INTO c;
	PERFORM commerce_private.offer_event(c, 'CouponChanged', actor);
	RETURN c;
END
$$;
COMMENT ON FUNCTION commerce.update_coupon(bigint, text, text, bigint, timestamptz, timestamptz, bigint, bigint, bigint, bigint,
										   boolean, jsonb, text[], bigint, text) IS
	'changes the attributes of a coupon that are given, empties those that clear names (description, issue_until, max_discount, max_units, metadata), leaves the others, and returns the row; what was issued keeps all its terms. A lower quantity waits for those who are claiming; one below what is issued is INVALID_REQUEST with issued in the detail. actor_id: an ADMIN, or the seller''s user; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.stop_coupon(coupon_id bigint, actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.coupons
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	actor jsonb;
	c commerce.coupons;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.require_catalogue();
	PERFORM commerce_private.check_text('note', stop_coupon.note);
	actor := commerce_private.require_who(stop_coupon.actor_id, stop_coupon.note, commerce_private.coupon_seller(stop_coupon.coupon_id));
	SELECT * INTO c FROM commerce.coupons o WHERE o.id = stop_coupon.coupon_id FOR NO KEY UPDATE;
	IF c.stopped_at IS NOT NULL THEN
		RETURN c;
	END IF;
	UPDATE commerce.coupons o
	SET stopped_at = pg_catalog.now(), updated_at = pg_catalog.now(),
		event_key = greatest(o.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	WHERE o.id = c.id
	RETURNING o.* INTO c;
	PERFORM commerce_private.offer_event(c, 'CouponStopped', actor);
	RETURN c;
END
$$;
COMMENT ON FUNCTION commerce.stop_coupon(bigint, bigint, text) IS
	'ends claiming and issuing of a coupon and returns the row; what was issued stays usable. actor_id: an ADMIN, or the seller''s user; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND';

-- sql/install/shop/coupon_issue.sql

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

-- sql/install/shop/quota.sql

-- Quota of coupons: the journal of how many there may be, and the narrow rows that it is folded into with what was issued.

CREATE TABLE commerce_private.coupon_quota (
	coupon_id bigint PRIMARY KEY REFERENCES commerce.coupons,
	on_hand   bigint NOT NULL,
	mark      bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
COMMENT ON TABLE commerce_private.coupon_quota IS
	'folded quota: what remains is on_hand and the quota_moves that are not folded yet. No claim updates it';
COMMENT ON COLUMN commerce_private.coupon_quota.mark IS 'moves of transactions below this id are folded into on_hand';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.coupon_quota', '');

CREATE TABLE commerce.quota_entries (
	coupon_id bigint NOT NULL REFERENCES commerce.coupons,
	delta     bigint NOT NULL CHECK (delta <> 0),
	reason    commerce.quota_reason NOT NULL,
	actor_id  bigint,
	note      text,
	at        timestamptz NOT NULL DEFAULT pg_catalog.now(),
	xid       bigint NOT NULL DEFAULT pg_catalog.pg_current_xact_id()::text::bigint
);
CREATE INDEX quota_entries_coupon_idx ON commerce.quota_entries (coupon_id, xid) INCLUDE (delta);
-- a rebase updates rows, also where they are published
ALTER TABLE commerce.quota_entries REPLICA IDENTITY FULL;
COMMENT ON TABLE commerce.quota_entries IS 'append-only journal of how many of a coupon there may be: what remains is its sum less the coupon_issues';
COMMENT ON COLUMN commerce.quota_entries.delta IS 'positive: so many more may be issued; negative: fewer';
COMMENT ON COLUMN commerce.quota_entries.actor_id IS 'the user who changed it; NULL: a trusted caller';
COMMENT ON COLUMN commerce.quota_entries.xid IS 'the transaction that wrote the entry; 0: folded from the beginning, or before the database was restored here';
SELECT pg_catalog.pg_extension_config_dump('commerce.quota_entries', '');

CREATE VIEW commerce_private.quota_moves AS
	SELECT i.coupon_id, i.xid, -1::bigint AS delta FROM commerce.coupon_issues i
	UNION ALL
	SELECT e.coupon_id, e.xid, e.delta FROM commerce.quota_entries e;
COMMENT ON VIEW commerce_private.quota_moves IS 'all that changes what remains of a coupon: each issue, and each entry of its quota';

CREATE VIEW commerce_private.quota_left AS
	SELECT q.coupon_id, q.mark, (q.on_hand + coalesce(j.units, 0))::bigint AS units, j.unfolded
	FROM commerce_private.coupon_quota q
	CROSS JOIN LATERAL (SELECT sum(m.delta) AS units, count(*) AS unfolded FROM commerce_private.quota_moves m
						WHERE m.coupon_id = q.coupon_id AND m.xid >= q.mark) j;
COMMENT ON VIEW commerce_private.quota_left IS
	'how many of each coupon remain as the snapshot sees them: on hand, and of moves that are not folded yet';

CREATE TRIGGER gate_write BEFORE INSERT OR UPDATE OR DELETE ON commerce_private.coupon_quota
	FOR EACH ROW EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce_private.coupon_quota ENABLE ALWAYS TRIGGER gate_write;
CREATE TRIGGER gate_statement BEFORE UPDATE OR DELETE OR TRUNCATE ON commerce_private.coupon_quota
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce_private.coupon_quota ENABLE ALWAYS TRIGGER gate_statement;
CREATE TRIGGER gate_write BEFORE INSERT OR UPDATE OR DELETE ON commerce.quota_entries
	FOR EACH ROW EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.quota_entries ENABLE ALWAYS TRIGGER gate_write;
CREATE TRIGGER gate_statement BEFORE UPDATE OR DELETE OR TRUNCATE ON commerce.quota_entries
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.quota_entries ENABLE ALWAYS TRIGGER gate_statement;

CREATE FUNCTION commerce_private.record_quota()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'commerce_record_quota';
COMMENT ON FUNCTION commerce_private.record_quota() IS
	'the journal follows a quantity that an UPDATE by hand changes. Errors: INVALID_REQUEST';
CREATE TRIGGER record_quota AFTER UPDATE OF quantity ON commerce.coupons
	FOR EACH ROW WHEN (OLD.quantity <> NEW.quantity) EXECUTE FUNCTION commerce_private.record_quota();

-- Rows of the quota tables are written by C alone, which owns them.
CREATE FUNCTION commerce_private.open_quota(coupon_id bigint, quantity bigint, actor_id bigint, note text)
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_open_quota';
COMMENT ON FUNCTION commerce_private.open_quota(bigint, bigint, bigint, text) IS 'gives a new coupon its quota row and first entry';

CREATE FUNCTION commerce_private.change_quota(coupon_id bigint, former bigint, quantity bigint, actor_id bigint, note text)
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_change_quota';
COMMENT ON FUNCTION commerce_private.change_quota(bigint, bigint, bigint, bigint, text) IS
	'changes the quantity of a coupon whose row the caller has locked; fewer are taken as a claim takes. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.receive_quantity(coupon_id bigint, quantity bigint)
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_receive_quantity';
COMMENT ON FUNCTION commerce_private.receive_quantity(bigint, bigint) IS
	'writes the quantity of a coupon that another cell owns';

CREATE FUNCTION commerce_private.fold_quota(coupon_ids bigint[], OUT folded bigint, OUT unfinished bigint[])
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
	WITH horizon AS MATERIALIZED (
		SELECT commerce_private.to_key(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())) AS xmin
	), due AS (
		SELECT q.coupon_id, f.finished
		FROM commerce_private.coupon_quota q CROSS JOIN horizon h
		CROSS JOIN LATERAL (
			SELECT sum(m.delta) AS finished FROM commerce_private.quota_moves m
			WHERE m.coupon_id = q.coupon_id AND m.xid >= q.mark AND m.xid < h.xmin) f
		WHERE f.finished IS NOT NULL AND (fold_quota.coupon_ids IS NULL OR q.coupon_id = ANY (fold_quota.coupon_ids))
		FOR NO KEY UPDATE OF q SKIP LOCKED
	)
	UPDATE commerce_private.coupon_quota q
	SET on_hand = q.on_hand + due.finished, mark = greatest(q.mark, h.xmin)
	FROM due CROSS JOIN horizon h
	WHERE q.coupon_id = due.coupon_id;
	GET DIAGNOSTICS folded = ROW_COUNT;
	unfinished := ARRAY(
		SELECT c.coupon_id FROM pg_catalog.unnest(fold_quota.coupon_ids) c (coupon_id)
		WHERE EXISTS (SELECT FROM commerce_private.coupon_quota q JOIN commerce_private.quota_moves m ON m.coupon_id = q.coupon_id AND m.xid >= q.mark
					  WHERE q.coupon_id = c.coupon_id));
END
$$;
COMMENT ON FUNCTION commerce_private.fold_quota(bigint[]) IS
	'the part of fold() that moves coupon quota, of all coupons (NULL) or of some; returns how many it moved, and which of those given have moves left to fold';

-- sql/install/shop/catalogue.sql

-- The catalogue of a shop of several cells: cell 0 owns sellers, products, promotions, coupons and staff, and publishes
-- them. The other cells subscribe: what arrives is put where orders look for it.

-- A publication of users by their role cannot be: a row's filter may read nothing but its key.
CREATE TABLE commerce_private.staff (
	id          bigint PRIMARY KEY,
	external_id text,
	name        text NOT NULL,
	email       text,
	phone       text,
	address     text,
	role        commerce.user_role NOT NULL CHECK (role <> 'BUYER'),
	status      commerce.user_status NOT NULL,
	erased_at   timestamptz,
	metadata    jsonb,
	created_at  timestamptz NOT NULL,
	updated_at  timestamptz NOT NULL
);
COMMENT ON TABLE commerce_private.staff IS
	'sellers'' users and administrators as cell 0 publishes them, once there are cells; columns as those of users';
CREATE INDEX staff_email_idx ON commerce_private.staff (pg_catalog.lower(email));
CREATE INDEX staff_external_id_idx ON commerce_private.staff (external_id);
SELECT pg_catalog.pg_extension_config_dump('commerce_private.staff', '');

CREATE FUNCTION commerce_private.keep_staff(u commerce.users)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF u.role = 'BUYER' OR NOT EXISTS (SELECT FROM commerce_private.cell c WHERE c.number = 0) THEN
		RETURN;
	END IF;
	INSERT INTO commerce_private.staff AS s (id, external_id, name, email, phone, address, role, status, erased_at, metadata, created_at, updated_at)
	VALUES (u.id, u.external_id, u.name, u.email, u.phone, u.address, u.role, u.status, u.erased_at, u.metadata, u.created_at, u.updated_at)
	ON CONFLICT (id) DO UPDATE
	SET external_id = u.external_id, name = u.name, email = u.email, phone = u.phone, address = u.address, role = u.role,
		status = u.status, erased_at = u.erased_at, metadata = u.metadata, updated_at = u.updated_at
	-- not by updated_at alone: a transaction may change a user twice
	WHERE (s.external_id, s.name, s.email, s.phone, s.address, s.role, s.status, s.erased_at, s.metadata, s.updated_at)
		IS DISTINCT FROM (u.external_id, u.name, u.email, u.phone, u.address, u.role, u.status, u.erased_at, u.metadata, u.updated_at);
END
$$;
COMMENT ON FUNCTION commerce_private.keep_staff(commerce.users) IS
	'has the other cells know a user that was made or changed, unless it is a buyer';

CREATE FUNCTION commerce_private.catalogue_columns(relation regclass)
RETURNS name[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.array_agg(a.attname ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
	WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attname <> 'event_key'
$$;
COMMENT ON FUNCTION commerce_private.catalogue_columns(regclass) IS
	'the columns of a table of the catalogue that cell 0 publishes: all but what follows from others, and event_key, which means something on one server only';

CREATE FUNCTION commerce_private.catalogue_list()
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.string_agg(pg_catalog.format('TABLE %s (%s)', t.relation,
			(SELECT pg_catalog.string_agg(pg_catalog.quote_ident(c.name), ', ') FROM pg_catalog.unnest(commerce_private.catalogue_columns(t.relation)) AS c (name))), ', ')
	FROM pg_catalog.unnest('{commerce_private.staff,commerce.sellers,commerce.products,commerce.promotions,commerce.coupons}'::regclass[]) AS t (relation)
$$;
COMMENT ON FUNCTION commerce_private.catalogue_list() IS 'what the publication commerce_catalogue has';

-- The publisher's side.
CREATE FUNCTION commerce.publish_catalogue()
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.require_catalogue();
	PERFORM commerce.set_cell(0);
	PERFORM commerce_private.keep_staff(u) FROM commerce.users u WHERE u.role <> 'BUYER';
	-- one that was restored from a dump is there, and empty
	EXECUTE pg_catalog.format(CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_publication p WHERE p.pubname = 'commerce_catalogue')
								   THEN 'ALTER PUBLICATION commerce_catalogue SET %s' ELSE 'CREATE PUBLICATION commerce_catalogue FOR %s' END,
							  commerce_private.catalogue_list());
END
$$;
COMMENT ON FUNCTION commerce.publish_catalogue() IS
	'makes this shop cell 0 and its catalogue one that other cells can have: the publication commerce_catalogue of sellers, products, promotions, coupons and staff. For the owner of the extension, a superuser; again after a restore. No row is changed. Errors: INVALID_REQUEST, FORBIDDEN';

CREATE FUNCTION commerce.admit_cell(number int)
RETURNS name
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	slot CONSTANT name := 'commerce_cell_' || admit_cell.number;
BEGIN
	PERFORM commerce_private.check_cell('number', admit_cell.number, 1);
	PERFORM commerce_private.require_catalogue();
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_publication_tables p WHERE p.pubname = 'commerce_catalogue') THEN
		RAISE EXCEPTION 'the catalogue is not published'
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'SELECT commerce.publish_catalogue().';
	END IF;
	-- what the server has thrown away for want of space can be followed no more
	PERFORM pg_catalog.pg_drop_replication_slot(s.slot_name) FROM pg_catalog.pg_replication_slots s
	WHERE s.slot_name = slot AND s.wal_status = 'lost';
	-- it waits for everybody who may not have known of the publication
	PERFORM pg_catalog.pg_create_logical_replication_slot(slot, 'pgoutput')
	WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots s
					  WHERE s.slot_name = slot AND s.database = pg_catalog.current_database());
	PERFORM commerce_private.keep_staff(u) FROM commerce.users u WHERE u.role <> 'BUYER';
	RETURN slot;
END
$$;
COMMENT ON FUNCTION commerce.admit_cell(int) IS
	'lets another cell have the catalogue: makes its replication slot on cell 0, unless there is one, and returns its name. For the owner of the extension, a superuser, in a transaction that has written nothing. A slot keeps the log until its cell has read it: pg_drop_replication_slot() when the cell is no more. Errors: INVALID_REQUEST, FORBIDDEN';

-- The subscriber's side.
CREATE FUNCTION commerce.join_cells(catalogue text)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	cell CONSTANT int := commerce.cell_number();
BEGIN
	IF join_cells.catalogue IS NULL THEN
		PERFORM commerce_private.raise_invalid('catalogue', 'must not be null');
	END IF;
	PERFORM commerce_private.check_text('catalogue', join_cells.catalogue);
	IF cell = 0 THEN
		RAISE EXCEPTION 'this database is cell 0, which owns the catalogue'
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'SELECT commerce.set_cell(number) makes a new one another cell.';
	END IF;
	-- what arrives first finds an origin
	PERFORM commerce_private.begin_write();
	IF EXISTS (SELECT FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
			   WHERE d.datname = pg_catalog.current_database() AND s.subname = 'commerce_catalogue') THEN
		ALTER SUBSCRIPTION commerce_catalogue DISABLE;
		ALTER SUBSCRIPTION commerce_catalogue SET (slot_name = NONE);
		DROP SUBSCRIPTION commerce_catalogue;
	END IF;
	EXECUTE pg_catalog.format('CREATE SUBSCRIPTION commerce_catalogue CONNECTION %L PUBLICATION commerce_catalogue '
							  'WITH (create_slot = false, slot_name = %L)', join_cells.catalogue, 'commerce_cell_' || cell);
END
$$;
COMMENT ON FUNCTION commerce.join_cells(text) IS
	'subscribes this cell to the catalogue of cell 0, which has admitted it, and copies it; catalogue: how to connect there, as libpq has it. Again after a restore, or when something is missing: rows that are there are brought up to date. For the owner of the extension, a superuser. Errors: INVALID_REQUEST, SERVICE_BUSY';

-- A shop that moves by logical replication is sent the stock as well.
CREATE FUNCTION commerce_private.catalogue_arrives()
RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT commerce_private.is_replicated()
	   AND NOT EXISTS (SELECT FROM pg_catalog.pg_subscription_rel r WHERE r.srrelid = 'commerce_private.stock'::regclass)
$$;
COMMENT ON FUNCTION commerce_private.catalogue_arrives() IS 'whether what is written now is the catalogue of cell 0, which this cell subscribes to';

CREATE FUNCTION commerce_private.receive_row()
RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- what is not sent, or follows from the rest
	left_out CONSTANT text[] := '{event_key,scope}'::text[];
	former jsonb;
	columns text;
	given text;
BEGIN
	IF NOT commerce_private.catalogue_arrives() THEN
		RETURN NEW;
	END IF;
	EXECUTE pg_catalog.format('SELECT pg_catalog.to_jsonb(t) FROM %s t WHERE t.id = $1', TG_RELID::regclass) INTO former USING NEW.id;
	IF former IS NULL THEN
		RETURN NEW;
	END IF;
	IF former - left_out = pg_catalog.to_jsonb(NEW) - left_out THEN
		RETURN NULL;
	END IF;
	-- a quantity is guarded by the gate
	SELECT pg_catalog.string_agg(pg_catalog.quote_ident(c.name), ', '), pg_catalog.string_agg('($1).' || pg_catalog.quote_ident(c.name), ', ')
	INTO columns, given
	FROM pg_catalog.unnest(commerce_private.catalogue_columns(TG_RELID)) AS c (name)
	WHERE c.name NOT IN ('id', 'quantity');
	EXECUTE pg_catalog.format('UPDATE %1$s t SET (%2$s) = ROW (%3$s) WHERE t.id = ($1).id',
							  TG_RELID::regclass, columns, given)
		USING NEW;
	IF TG_RELID = 'commerce.coupons'::regclass THEN
		PERFORM commerce_private.receive_quantity(c.id, arrived.quantity)
		FROM pg_catalog.jsonb_populate_record(NULL::commerce.coupons, pg_catalog.to_jsonb(NEW)) AS arrived
		JOIN commerce.coupons c ON c.id = arrived.id AND c.quantity <> arrived.quantity;
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION commerce_private.receive_row() IS
	'a row of the catalogue that is copied and here already, after a restore, brings the one that is here up to date';

CREATE FUNCTION commerce_private.open_received()
RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF commerce_private.catalogue_arrives() THEN
		PERFORM commerce_private.begin_write();
		IF TG_RELID = 'commerce.products'::regclass THEN
			PERFORM commerce_private.open_stock(NEW.id, 0, NULL, NULL);
		ELSE
			PERFORM commerce_private.open_quota(NEW.id, 0, NULL, NULL);
		END IF;
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION commerce_private.open_received() IS 'gives a product that has arrived its stock in this cell, a coupon its quota: nothing yet';

-- An e-mail or a subject that a user of this cell has stops the catalogue of nobody: check_cells() tells of it.
CREATE FUNCTION commerce_private.receive_staff()
RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT commerce_private.catalogue_arrives() THEN
		RETURN NULL;
	END IF;
	-- locked: who is giving them up has done so, or will see this row
	PERFORM FROM commerce.users u WHERE u.external_id = NEW.external_id AND u.id <> NEW.id FOR SHARE;
	IF FOUND THEN
		NEW.external_id := NULL;
	END IF;
	PERFORM FROM commerce.users u WHERE pg_catalog.lower(u.email) = pg_catalog.lower(NEW.email) AND u.id <> NEW.id FOR SHARE;
	IF FOUND THEN
		NEW.email := NULL;
	END IF;
	INSERT INTO commerce.users (id, external_id, name, email, phone, address, role, status, erased_at, metadata, created_at, updated_at)
	OVERRIDING SYSTEM VALUE
	VALUES (NEW.id, NEW.external_id, NEW.name, NEW.email, NEW.phone, NEW.address, NEW.role, NEW.status, NEW.erased_at, NEW.metadata,
			NEW.created_at, NEW.updated_at)
	ON CONFLICT (id) DO UPDATE
	SET external_id = EXCLUDED.external_id, name = EXCLUDED.name, email = EXCLUDED.email, phone = EXCLUDED.phone,
		address = EXCLUDED.address, role = EXCLUDED.role, status = EXCLUDED.status, erased_at = EXCLUDED.erased_at,
		metadata = EXCLUDED.metadata, updated_at = EXCLUDED.updated_at;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION commerce_private.receive_staff() IS 'makes a user of staff that has arrived, or changes the one there is';

CREATE FUNCTION commerce_private.name_staff(before commerce.users, after commerce.users)
RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
	UPDATE commerce.users u SET email = s.email, updated_at = s.updated_at
	FROM commerce_private.staff s
	WHERE pg_catalog.lower(s.email) = pg_catalog.lower(before.email) AND pg_catalog.lower(after.email) IS DISTINCT FROM pg_catalog.lower(before.email)
	  AND u.id = s.id AND s.id <> before.id;
	UPDATE commerce.users u SET external_id = s.external_id, updated_at = s.updated_at
	FROM commerce_private.staff s
	WHERE s.external_id = before.external_id AND after.external_id IS DISTINCT FROM before.external_id
	  AND u.id = s.id AND s.id <> before.id
$$;
COMMENT ON FUNCTION commerce_private.name_staff(commerce.users, commerce.users) IS
	'gives an e-mail or external id that a user of this cell has no more to the staff of cell 0 whose it is, who had to do without';

CREATE TRIGGER receive BEFORE INSERT ON commerce_private.staff FOR EACH ROW EXECUTE FUNCTION commerce_private.receive_row();
ALTER TABLE commerce_private.staff ENABLE REPLICA TRIGGER receive;
CREATE TRIGGER receive_staff AFTER INSERT OR UPDATE ON commerce_private.staff FOR EACH ROW EXECUTE FUNCTION commerce_private.receive_staff();
ALTER TABLE commerce_private.staff ENABLE REPLICA TRIGGER receive_staff;
CREATE TRIGGER receive BEFORE INSERT ON commerce.sellers FOR EACH ROW EXECUTE FUNCTION commerce_private.receive_row();
ALTER TABLE commerce.sellers ENABLE REPLICA TRIGGER receive;
CREATE TRIGGER receive BEFORE INSERT ON commerce.products FOR EACH ROW EXECUTE FUNCTION commerce_private.receive_row();
ALTER TABLE commerce.products ENABLE REPLICA TRIGGER receive;
CREATE TRIGGER open_received AFTER INSERT ON commerce.products FOR EACH ROW EXECUTE FUNCTION commerce_private.open_received();
ALTER TABLE commerce.products ENABLE REPLICA TRIGGER open_received;
CREATE TRIGGER receive BEFORE INSERT ON commerce.promotions FOR EACH ROW EXECUTE FUNCTION commerce_private.receive_row();
ALTER TABLE commerce.promotions ENABLE REPLICA TRIGGER receive;
CREATE TRIGGER receive BEFORE INSERT ON commerce.coupons FOR EACH ROW EXECUTE FUNCTION commerce_private.receive_row();
ALTER TABLE commerce.coupons ENABLE REPLICA TRIGGER receive;
CREATE TRIGGER open_received AFTER INSERT ON commerce.coupons FOR EACH ROW EXECUTE FUNCTION commerce_private.open_received();
ALTER TABLE commerce.coupons ENABLE REPLICA TRIGGER open_received;

-- The register of users: in which cell somebody signs up who comes to any. No text of a person is kept, so that there is
-- nothing to erase.
CREATE TABLE commerce_private.reservations (
	key  bytea PRIMARY KEY,
	cell int NOT NULL CHECK (cell BETWEEN 0 AND 8999),
	at   timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE commerce_private.reservations IS
	'in cell 0: which cell has, or is to have, the user with an e-mail or an external id; see reserve_user()';
COMMENT ON COLUMN commerce_private.reservations.key IS 'SHA-256 of the kind and the value';
COMMENT ON COLUMN commerce_private.reservations.at IS 'when it was last asked for, for this cell';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.reservations', '');

CREATE FUNCTION commerce_private.reservation_key(kind text, value text)
RETURNS bytea
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.sha256(pg_catalog.convert_to(kind || ':' || value, 'UTF8'))
$$;
COMMENT ON FUNCTION commerce_private.reservation_key(text, text) IS 'what the register has of a value: email or external_id';

CREATE FUNCTION commerce_private.reserve(key bytea, cell int, renewed boolean)
RETURNS int
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO commerce_private.reservations AS r (key, cell) SELECT reserve.key, reserve.cell WHERE reserve.key IS NOT NULL
	ON CONFLICT (key) DO UPDATE SET at = CASE WHEN reserve.renewed THEN EXCLUDED.at ELSE r.at END RETURNING r.cell
$$;
COMMENT ON FUNCTION commerce_private.reserve(bytea, int, boolean) IS
	'reserves for a cell what is not reserved, or renews what is, and returns the cell that it is reserved for';

CREATE FUNCTION commerce.reserve_user(email text, external_id text, cell int, unused_in int DEFAULT NULL)
RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
	key_of_email CONSTANT bytea := commerce_private.reservation_key('email', pg_catalog.lower(email));
	key_of_id CONSTANT bytea := commerce_private.reservation_key('external_id', external_id);
	in_cell_0 boolean;
	of_email int;
	known int;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.check_user(NULL, email, NULL, NULL, external_id, NULL);
	IF pg_catalog.num_nonnulls(email, external_id) = 0 THEN
		PERFORM commerce_private.raise_invalid('email', 'or external_id must be given');
	END IF;
	PERFORM commerce_private.check_cell('cell', coalesce(cell, 0), 0), commerce_private.check_cell('unused_in', coalesce(unused_in, 0), 0);
	PERFORM commerce_private.require_catalogue();
	-- who has asked within a day may be about to make the user
	DELETE FROM commerce_private.reservations r
	WHERE r.key IN (key_of_email, key_of_id) AND r.cell = unused_in AND r.at < pg_catalog.now() - interval '1 day';
	-- users that the shop had when it became cell 0 are in no register
	IF EXISTS (SELECT FROM commerce.users u WHERE u.external_id = reserve_user.external_id) THEN
		RETURN 0;
	END IF;
	in_cell_0 := EXISTS (SELECT FROM commerce.users u WHERE pg_catalog.lower(u.email) = pg_catalog.lower(reserve_user.email));
	known := coalesce((SELECT r.cell FROM commerce_private.reservations r WHERE r.key = key_of_id), CASE WHEN in_cell_0 THEN 0 END,
					  (SELECT r.cell FROM commerce_private.reservations r WHERE r.key = key_of_email), cell);
	IF cell IS NULL THEN
		RETURN known;
	END IF;
	known := coalesce(commerce_private.reserve(key_of_id, known, known = cell), known);
	of_email := CASE WHEN in_cell_0 THEN 0 ELSE commerce_private.reserve(key_of_email, known, known = cell) END;
	IF of_email <> known THEN
		PERFORM commerce_private.raise_taken('user', 'email');
	END IF;
	RETURN known;
END
$$;
COMMENT ON FUNCTION commerce.reserve_user(text, text, int, int) IS
	'on cell 0, before somebody signs up: the cell in which the person with this external id, or else this e-mail, is or is to be; cell, which is reserved then, if neither is known; with cell NULL nothing is reserved, and NULL is the answer. Reserved for good: who is refused there, or interrupted, gets the same answer again. unused_in: a cell that has no such user, as the caller has seen there: what is reserved for it, but not since a day, is so no more. It is reserved anew by who names that cell. An e-mail of another cell than the external id''s is ALREADY_EXISTS. Errors: INVALID_REQUEST, FORBIDDEN, ALREADY_EXISTS';

-- sql/install/shop/order.sql

-- Orders, their items, and what they used of coupons.
--
-- What refers to an order that may be archived, and stays when it is (an issue of a coupon, an entry, a sheet), has its
-- number without a foreign key. Nor has a reference a foreign key that no index serves: each deletion would look for it
-- in the whole table.

CREATE TABLE commerce.orders (
	id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	user_id             bigint NOT NULL REFERENCES commerce.users,
	status              commerce.order_status NOT NULL,
	payment_method      commerce.payment_method NOT NULL,
	created_at          timestamptz NOT NULL DEFAULT pg_catalog.now(),
	updated_at          timestamptz NOT NULL DEFAULT pg_catalog.now(),
	paid_at             timestamptz,
	expires_at          timestamptz,
	items_total         bigint NOT NULL CHECK (items_total >= 0),
	item_discount_total bigint NOT NULL,
	order_discount      bigint NOT NULL,
	shipping_discount   bigint NOT NULL DEFAULT 0 CHECK (shipping_discount >= 0),
	shipping_total      bigint NOT NULL CHECK (shipping_total >= 0),
	payment_amount      bigint NOT NULL,
	refunded_amount     bigint NOT NULL DEFAULT 0,
	event_key           bigint NOT NULL,
	recipient_name      text,
	recipient_phone     text,
	recipient_address   text,
	recipient_memo      text,
	tax_free_amount     bigint NOT NULL DEFAULT 0,
	metadata            jsonb,
	imported            boolean NOT NULL DEFAULT false,
	CONSTRAINT orders_item_discount_total_check CHECK (item_discount_total BETWEEN 0 AND items_total),
	CONSTRAINT orders_order_discount_check CHECK (order_discount BETWEEN 0 AND items_total - item_discount_total),
	CONSTRAINT orders_tax_free_amount_check CHECK (tax_free_amount BETWEEN 0 AND payment_amount),
	CONSTRAINT orders_payment_amount_check
		CHECK (payment_amount = items_total - item_discount_total - order_discount + shipping_total),
	CONSTRAINT orders_refunded_amount_check CHECK (refunded_amount BETWEEN 0 AND payment_amount),
	CONSTRAINT orders_pending_check CHECK ((status = 'PENDING_PAYMENT') = (expires_at IS NOT NULL))
) WITH (fillfactor = 90);
CREATE INDEX orders_user_id_idx ON commerce.orders (user_id, id);
CREATE INDEX orders_unpaid_idx ON commerce.orders (user_id) WHERE status = 'PENDING_PAYMENT';
CREATE INDEX orders_expires_at_idx ON commerce.orders (expires_at) WHERE status = 'PENDING_PAYMENT';
COMMENT ON TABLE commerce.orders IS 'orders; an order that fails its checks leaves no row';
COMMENT ON COLUMN commerce.orders.paid_at IS 'when the payment was completed';
COMMENT ON COLUMN commerce.orders.expires_at IS 'while payment is pending: when the held stock and coupons are given back';
COMMENT ON COLUMN commerce.orders.items_total IS 'sum of unit price x quantity';
COMMENT ON COLUMN commerce.orders.item_discount_total IS 'sum of unit discount x quantity';
COMMENT ON COLUMN commerce.orders.order_discount IS 'what the order''s coupon took off; spread over the items';
COMMENT ON COLUMN commerce.orders.shipping_discount IS 'what the free-shipping coupon took off';
COMMENT ON COLUMN commerce.orders.shipping_total IS 'shipping fees less shipping_discount';
COMMENT ON COLUMN commerce.orders.payment_amount IS 'items_total - item_discount_total - order_discount + shipping_total';
COMMENT ON COLUMN commerce.orders.refunded_amount IS 'sum of completed and requested refunds; never above what was paid';
COMMENT ON COLUMN commerce.orders.recipient_name IS 'whom the order is delivered to: the user''s own name at the moment of ordering, where the call gave none';
COMMENT ON COLUMN commerce.orders.recipient_memo IS 'a word to who delivers';
COMMENT ON COLUMN commerce.orders.tax_free_amount IS 'what of payment_amount, without shipping, is for tax-exempt lines';
COMMENT ON COLUMN commerce.orders.metadata IS 'an object of the shop''s own';
COMMENT ON COLUMN commerce.orders.imported IS 'it was over before the shop moved here: it moved no stock, and can be refunded by amount alone';
COMMENT ON COLUMN commerce.orders.event_key IS 'key of the last outbox event of this order';
SELECT pg_catalog.pg_extension_config_dump('commerce.orders', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.orders_id_seq', '');

-- Of a table that each order writes the columns are in an order that leaves little room between them, which would go to the
-- WAL with each row.
CREATE TABLE commerce.order_items (
	id                   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	order_id             bigint NOT NULL REFERENCES commerce.orders,
	seq                  int NOT NULL CHECK (seq > 0),
	line                 int NOT NULL CHECK (line > 0),
	status               commerce.order_item_status NOT NULL,
	last_event           int NOT NULL DEFAULT 0,
	product_id           bigint NOT NULL REFERENCES commerce.products,
	seller_id            bigint REFERENCES commerce.sellers,
	quantity             bigint NOT NULL CHECK (quantity > 0),
	unit_price           bigint NOT NULL CHECK (unit_price >= 0),
	unit_discount        bigint NOT NULL,
	unit_final           bigint NOT NULL,
	line_total           bigint NOT NULL,
	order_discount_share bigint NOT NULL DEFAULT 0,
	shipping_fee         bigint NOT NULL DEFAULT 0 CHECK (shipping_fee >= 0),
	shipping_discount    bigint NOT NULL DEFAULT 0,
	coupon_issue_id      bigint REFERENCES commerce.coupon_issues,
	deduction            bigint NOT NULL DEFAULT 0,
	split_from           bigint,
	split_quantity       bigint NOT NULL DEFAULT 0 CHECK (split_quantity >= 0),
	split_net            bigint NOT NULL DEFAULT 0 CHECK (split_net >= 0),
	replacement_product_id bigint REFERENCES commerce.products,
	shipment_id          bigint,
	delivered_at         timestamptz,
	limited_user_id      bigint,
	user_limit           bigint,
	tax_exempt           boolean NOT NULL DEFAULT false,
	own_shipping         boolean NOT NULL DEFAULT false,
	lost                 boolean NOT NULL DEFAULT false,
	product_name         text NOT NULL,
	CONSTRAINT order_items_order_seq_key UNIQUE (order_id, seq),
	CONSTRAINT order_items_unit_discount_check CHECK (unit_discount BETWEEN 0 AND unit_price),
	CONSTRAINT order_items_deduction_check CHECK (deduction BETWEEN 0 AND line_total - order_discount_share),
	CONSTRAINT order_items_unit_final_check CHECK (unit_final = unit_price - unit_discount),
	CONSTRAINT order_items_line_total_check CHECK (line_total = unit_final * quantity),
	CONSTRAINT order_items_discount_share_check CHECK (order_discount_share BETWEEN 0 AND line_total),
	CONSTRAINT order_items_shipping_discount_check CHECK (shipping_discount BETWEEN 0 AND shipping_fee)
) WITH (fillfactor = 90);
-- with what commerce_private.api_seller_orders looks through
CREATE INDEX order_items_seller_id_idx ON commerce.order_items (seller_id, id) INCLUDE (order_id, status) WHERE seller_id IS NOT NULL;
CREATE INDEX order_items_limited_idx ON commerce.order_items (limited_user_id, (coalesce(replacement_product_id, product_id)))
	WHERE limited_user_id IS NOT NULL;
CREATE INDEX order_items_held_idx ON commerce.order_items (product_id) WHERE status = 'PENDING_PAYMENT';
CREATE INDEX order_items_requests_idx ON commerce.order_items (status)
	WHERE status IN ('CANCEL_REQUESTED', 'CANCEL_PROCESSING', 'RETURN_REQUESTED', 'RETURN_PROCESSING', 'EXCHANGE_REQUESTED', 'EXCHANGE_PROCESSING');
CREATE INDEX order_items_delivered_idx ON commerce.order_items (delivered_at) WHERE status = 'DELIVERED' OR status = 'EXCHANGED';
COMMENT ON TABLE commerce.order_items IS 'lines of an order as they were ordered; a part that goes another way is split off as a row of its own, so that the rows of a line always add up to what was ordered';
COMMENT ON COLUMN commerce.order_items.seq IS 'position in the order, from 1; parts split off take the next';
COMMENT ON COLUMN commerce.order_items.product_name IS 'name when it was ordered';
COMMENT ON COLUMN commerce.order_items.unit_price IS 'per unit when it was ordered';
COMMENT ON COLUMN commerce.order_items.unit_discount IS 'taken off per unit by instant discount or promotion, and by a product coupon';
COMMENT ON COLUMN commerce.order_items.order_discount_share IS 'this row''s share of the order''s discount';
COMMENT ON COLUMN commerce.order_items.shipping_fee IS 'once per ordered line; stays with the row that the line began as';
COMMENT ON COLUMN commerce.order_items.shipping_discount IS 'what the free-shipping coupon took off this fee';
COMMENT ON COLUMN commerce.order_items.coupon_issue_id IS 'the product coupon used on this line';
COMMENT ON COLUMN commerce.order_items.split_from IS 'the row this part was split off';
COMMENT ON COLUMN commerce.order_items.line IS 'number of the ordered line, from 1, whose rows this is one of';
COMMENT ON COLUMN commerce.order_items.limited_user_id IS 'the buyer, when the product had a limit per user; NULL: it had none';
COMMENT ON COLUMN commerce.order_items.user_limit IS 'the limit per user that was in force';
COMMENT ON COLUMN commerce.order_items.deduction IS 'what was kept back at the return';
COMMENT ON COLUMN commerce.order_items.replacement_product_id IS 'what the buyer has got in exchange; NULL: nothing was exchanged';
COMMENT ON COLUMN commerce.order_items.shipment_id IS 'the parcel it went with last';
COMMENT ON COLUMN commerce.order_items.own_shipping IS 'the product had a shipping fee of its own; otherwise the line shares its seller''s policy';
COMMENT ON COLUMN commerce.order_items.lost IS 'RETURNED from the way: the parcel was lost, or came back to its sender';
COMMENT ON COLUMN commerce.order_items.split_quantity IS 'units that were split off this row';
COMMENT ON COLUMN commerce.order_items.split_net IS 'what these came to';
COMMENT ON COLUMN commerce.order_items.last_event IS 'ordinal of the last row of its history';
COMMENT ON COLUMN commerce.order_items.delivered_at IS 'when it was DELIVERED last';
SELECT pg_catalog.pg_extension_config_dump('commerce.order_items', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.order_items_id_seq', '');

CREATE TABLE commerce.order_item_events (
	order_item_id bigint NOT NULL REFERENCES commerce.order_items,
	ordinal       int NOT NULL CHECK (ordinal > 0),
	event         commerce.order_item_status NOT NULL,
	quantity      bigint NOT NULL CHECK (quantity > 0),
	at            timestamptz NOT NULL DEFAULT pg_catalog.now(),
	xid           bigint NOT NULL DEFAULT pg_catalog.pg_current_xact_id()::text::bigint,
	actor_id      bigint,
	actor         commerce.actor_kind NOT NULL,
	from_status   commerce.order_item_status,
	restocked     boolean,
	note          text,
	PRIMARY KEY (order_item_id, ordinal)
);
-- What best sellers are counted from: units sold, and units of paid orders cancelled. Rows come in the order of their
-- transactions, or nearly, and each order would pay for a btree.
CREATE INDEX order_item_events_sales_idx ON commerce.order_item_events USING brin (xid) WITH (autosummarize = on)
	WHERE event = 'PAID' OR (event = 'CANCELLED' AND from_status <> 'PENDING_PAYMENT');
-- Pages are summarized once they are full. Of the first ones there is a summary already, which each order would change.
SELECT pg_catalog.brin_desummarize_range('commerce.order_item_events_sales_idx', 0);
COMMENT ON TABLE commerce.order_item_events IS 'append-only history of every order item';
COMMENT ON COLUMN commerce.order_item_events.ordinal IS 'number within the item''s history, from 1';
COMMENT ON COLUMN commerce.order_item_events.restocked IS 'of RETURNED and EXCHANGED: whether what came back went into stock; NULL: nothing came back';
COMMENT ON COLUMN commerce.order_item_events.event IS 'the status that was entered';
COMMENT ON COLUMN commerce.order_item_events.from_status IS 'the status before; NULL for the first';
COMMENT ON COLUMN commerce.order_item_events.actor_id IS 'user id of the buyer or admin, seller id of the seller; NULL: the system, or a trusted caller';
COMMENT ON COLUMN commerce.order_item_events.xid IS 'the transaction that wrote the event';
SELECT pg_catalog.pg_extension_config_dump('commerce.order_item_events', '');

CREATE TABLE commerce.order_coupons (
	order_id        bigint NOT NULL REFERENCES commerce.orders,
	coupon_issue_id bigint NOT NULL REFERENCES commerce.coupon_issues,
	discount        bigint NOT NULL CHECK (discount > 0),
	restored_at     timestamptz,
	PRIMARY KEY (order_id, coupon_issue_id)
);
CREATE UNIQUE INDEX order_coupons_live_key ON commerce.order_coupons (coupon_issue_id) WHERE restored_at IS NULL;
COMMENT ON TABLE commerce.order_coupons IS 'which coupons an order used and what each took off; a coupon is used by at most one order that has not given it back';
COMMENT ON COLUMN commerce.order_coupons.discount IS 'what it took off';
COMMENT ON COLUMN commerce.order_coupons.restored_at IS 'when the coupon was given back to the user';
SELECT pg_catalog.pg_extension_config_dump('commerce.order_coupons', '');

CREATE FUNCTION commerce.place_order(
	user_id bigint, items jsonb, coupon_issue_ids bigint[] DEFAULT '{}', idempotency_key text DEFAULT NULL,
	payment_method commerce.payment_method DEFAULT 'BALANCE', delivery jsonb DEFAULT NULL, metadata jsonb DEFAULT NULL,
	pay_within interval DEFAULT NULL, balance_part bigint DEFAULT 0, payment_channel text DEFAULT NULL)
RETURNS commerce.orders
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_place_order';
COMMENT ON FUNCTION commerce.place_order(bigint, jsonb, bigint[], text, commerce.payment_method, jsonb, jsonb, interval, bigint, text) IS
	'prices, reserves, pays and records an order in one transaction and returns the order. items: [{"product_id":1,"quantity":2,"coupon_issue_id":7}], at most 1000 lines, coupon_issue_id only for a product''s coupon; coupon_issue_ids: the order''s coupons. payment_method BALANCE: paid at once; EXTERNAL: PENDING_PAYMENT with stock and coupons held, unless there is nothing to pay. delivery: {"name","phone","address","memo"}, the user''s own where missing. metadata: an object of the shop''s own. Of an EXTERNAL order: balance_part, what the balance pays; payment_channel, such as card; pay_within, how long it can be paid. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, PRODUCT_NOT_ON_SALE, PURCHASE_LIMIT_EXCEEDED, PENDING_LIMIT_EXCEEDED, STOCK_NOT_ENOUGH, BALANCE_NOT_ENOUGH, COUPON_NOT_USABLE, COUPON_CONDITION_NOT_MET, IDEMPOTENCY_KEY_REUSED';

-- sql/install/shop/payment.sql

-- Payments and refunds.

CREATE TABLE commerce.payments (
	id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	order_id          bigint REFERENCES commerce.orders,
	user_id           bigint NOT NULL REFERENCES commerce.users,
	kind              commerce.payment_kind NOT NULL,
	method            commerce.payment_method NOT NULL,
	status            commerce.payment_status NOT NULL,
	amount            bigint NOT NULL CHECK (amount >= 0),
	provider_event_id text CHECK (pg_catalog.char_length(provider_event_id) BETWEEN 1 AND 200),
	at                timestamptz NOT NULL DEFAULT pg_catalog.now(),
	channel           text,
	expires_at        timestamptz,
	refund_of         bigint REFERENCES commerce.payments,
	charge_id         bigint,
	requested_at      timestamptz,
	idempotency_key   text,
	tax_free_amount   bigint,
	failed_at         timestamptz,
	archived_order_id bigint,
	CONSTRAINT payments_tax_free_amount_check CHECK (tax_free_amount BETWEEN 0 AND amount),
	CONSTRAINT payments_order_id_check CHECK (order_id IS NOT NULL OR archived_order_id IS NOT NULL OR kind <> 'PAYMENT'),
	CONSTRAINT payments_refund_of_check CHECK ((kind = 'REFUND') = (refund_of IS NOT NULL)),
	CONSTRAINT payments_charge_id_check CHECK (charge_id IS NULL OR (kind = 'CHARGE' AND status = 'UNEXPECTED'))
);
CREATE INDEX payments_order_id_idx ON commerce.payments (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX payments_user_id_idx ON commerce.payments (user_id) WHERE order_id IS NULL;
CREATE UNIQUE INDEX payments_charge_event_key ON commerce.payments (coalesce(charge_id, id), provider_event_id, (status = 'FAILED'))
	WHERE provider_event_id IS NOT NULL AND kind = 'CHARGE';
CREATE UNIQUE INDEX payments_order_event_key ON commerce.payments (order_id, provider_event_id, (status = 'FAILED'))
	WHERE provider_event_id IS NOT NULL AND kind = 'PAYMENT';
CREATE UNIQUE INDEX payments_charge_key ON commerce.payments (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX payments_expires_at_idx ON commerce.payments (expires_at) WHERE kind = 'CHARGE' AND status = 'REQUESTED';
-- the oldest first, as somebody asks for them over REST
CREATE INDEX payments_waiting_idx ON commerce.payments (at)
	WHERE status = 'UNEXPECTED' OR (kind = 'REFUND' AND status IN ('REQUESTED', 'FAILED'));
CREATE INDEX payments_refund_of_idx ON commerce.payments (refund_of) WHERE refund_of IS NOT NULL;
COMMENT ON TABLE commerce.payments IS 'every attempt to pay an order or to charge a balance, and every refund';
COMMENT ON COLUMN commerce.payments.amount IS 'never negative: kind tells the direction';
COMMENT ON COLUMN commerce.payments.provider_event_id IS 'the payment provider''s own id of its answer: the same answer twice has one effect';
COMMENT ON COLUMN commerce.payments.order_id IS 'NULL: a charge, an answer for an archived order, and what belongs to these';
COMMENT ON COLUMN commerce.payments.archived_order_id IS 'of an UNEXPECTED payment that came for an archived order, and of its refund: the order';
COMMENT ON COLUMN commerce.payments.channel IS 'how the provider is to be paid, such as card or virtual_account';
COMMENT ON COLUMN commerce.payments.expires_at IS 'of a charge that is REQUESTED: until when it can be paid';
COMMENT ON COLUMN commerce.payments.refund_of IS 'the payment that a refund goes back to';
COMMENT ON COLUMN commerce.payments.requested_at IS 'of an answered refund: when it was asked for, at being the time of the answer';
COMMENT ON COLUMN commerce.payments.charge_id IS 'of an UNEXPECTED payment: the charge that it answers';
COMMENT ON COLUMN commerce.payments.failed_at IS 'of a refund that failed: when, whatever the provider said later';
COMMENT ON COLUMN commerce.payments.tax_free_amount IS 'what of amount, without shipping, is for tax-exempt lines; NULL: of what is not for an order''s lines, such as a charge or an UNEXPECTED payment';
COMMENT ON COLUMN commerce.payments.idempotency_key IS 'of a charge: the key it was requested with, kept for good';
SELECT pg_catalog.pg_extension_config_dump('commerce.payments', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.payments_id_seq', '');

CREATE FUNCTION commerce.request_charge(
	user_id bigint, amount bigint, payment_channel text DEFAULT NULL, pay_within interval DEFAULT NULL,
	idempotency_key text DEFAULT NULL)
RETURNS commerce.payments
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_request_charge';
COMMENT ON FUNCTION commerce.request_charge(bigint, bigint, text, interval, text) IS
	'asks a payment provider for a charge of a user''s balance, and returns it, a payment that confirm_charge() completes. amount: as charge_balance() takes it; payment_channel, such as card; pay_within, how long it can be paid. A user has at most commerce.max_pending_orders of them REQUESTED. The idempotency_key stays with the payment for good. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, PENDING_LIMIT_EXCEEDED, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.confirm_charge(payment_id bigint, succeeded boolean, provider_event_id text, amount bigint DEFAULT NULL)
RETURNS commerce.payments
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_confirm_charge';
COMMENT ON FUNCTION commerce.confirm_charge(bigint, boolean, text, bigint) IS
	'takes a payment provider''s answer for a charge and returns the charge; the same provider_event_id with the same outcome again has no further effect. A success, in time or late, credits the balance of an ACTIVE user once; one with another amount, a second one, or one of another user is kept as an UNEXPECTED payment, which return_payment() gives back. amount: what was paid; NULL: what was asked for. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.confirm_payment(order_id bigint, succeeded boolean, provider_event_id text, amount bigint DEFAULT NULL)
RETURNS commerce.orders
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_confirm_payment';
COMMENT ON FUNCTION commerce.confirm_payment(bigint, boolean, text, bigint) IS
	'takes a payment provider''s answer for an order and returns the order; the same provider_event_id with the same outcome again has no further effect. amount: what was paid; NULL: what was asked for. A success after the order was given up takes its stock and coupons again, or is refunded. A success with another amount, or for an order that is paid already, is kept as an UNEXPECTED payment, which return_payment() gives back. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.return_payment(
	payment_id bigint, actor_id bigint DEFAULT NULL, note text DEFAULT NULL, idempotency_key text DEFAULT NULL)
RETURNS commerce.payments
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_return_payment';
COMMENT ON FUNCTION commerce.return_payment(bigint, bigint, text, text) IS
	'gives an UNEXPECTED payment back: asks the provider to refund the whole of it, and returns the refund. While that refund has not FAILED, a second call returns it and does nothing. actor_id: an ADMIN, or NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, INVALID_STATE_TRANSITION, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.report_refund(payment_id bigint, succeeded boolean, provider_event_id text)
RETURNS commerce.payments
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_report_refund';
COMMENT ON FUNCTION commerce.report_refund(bigint, boolean, text) IS
	'takes a payment provider''s answer for a refund and returns the refund: COMPLETED, or FAILED, and then what it took of an order can be refunded anew. A failure after a success changes nothing; a success after a failure completes it, or, when the money was refunded otherwise meanwhile, makes it UNEXPECTED. The refund of an archived order is answered where nothing changes. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, INVALID_STATE_TRANSITION';

CREATE FUNCTION commerce.refund_order(
	order_id bigint, amount bigint, actor_id bigint, note text, idempotency_key text DEFAULT NULL)
RETURNS commerce.orders
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_refund_order';
COMMENT ON FUNCTION commerce.refund_order(bigint, bigint, bigint, text, text) IS
	'gives back a part of what an order has cost, as goodwill or to put a mistake right, and returns the order, whose status stays as it is; at most what is paid and not yet refunded. actor_id: an ADMIN, or NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, REFUND_EXCEEDS_PAID, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.retry_payment(order_id bigint, pay_within interval DEFAULT NULL, idempotency_key text DEFAULT NULL)
RETURNS commerce.orders
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_retry_payment';
COMMENT ON FUNCTION commerce.retry_payment(bigint, interval, text) IS
	'asks anew for the payment of a CANCELLED order that was not paid, until commerce.payment_ttl_max after it was made, and returns it: PENDING_PAYMENT again. At its old price, by its old channel, it takes stock, coupons and balance again as a new order does, or fails whole. pay_within: how long it can be paid. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, INVALID_STATE_TRANSITION, RESERVATION_EXPIRED, FORBIDDEN, PENDING_LIMIT_EXCEEDED, PRODUCT_NOT_ON_SALE, PURCHASE_LIMIT_EXCEEDED, COUPON_NOT_USABLE, STOCK_NOT_ENOUGH, BALANCE_NOT_ENOUGH, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.expire_pending_orders(max_rows int DEFAULT 1000)
RETURNS int
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_expire_pending_orders';
COMMENT ON FUNCTION commerce.expire_pending_orders(int) IS
	'ends at most max_rows orders and charges whose time to pay is over, gives the orders'' stock, coupons and balance back, and returns how many; those that somebody is working on are left for the next time, and so is, with a warning, one that cannot be ended. Errors: INVALID_REQUEST';

-- sql/install/shop/sheet.sql

-- Order sheets: priced quotes with a time to live.

CREATE TABLE commerce.order_sheets (
	id                  uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
	user_id             bigint NOT NULL REFERENCES commerce.users,
	coupon_issue_ids    bigint[] NOT NULL,
	items_total         bigint NOT NULL,
	item_discount_total bigint NOT NULL,
	order_discount      bigint NOT NULL,
	shipping_discount   bigint NOT NULL,
	shipping_total      bigint NOT NULL,
	payment_amount      bigint NOT NULL,
	created_at          timestamptz NOT NULL DEFAULT pg_catalog.now(),
	expires_at          timestamptz NOT NULL,
	consumed_order_id   bigint,
	CONSTRAINT order_sheets_payment_amount_check
		CHECK (payment_amount = items_total - item_discount_total - order_discount + shipping_total)
);
CREATE UNIQUE INDEX order_sheets_consumed_order_id_key ON commerce.order_sheets (consumed_order_id)
	WHERE consumed_order_id IS NOT NULL;
CREATE INDEX order_sheets_user_id_idx ON commerce.order_sheets (user_id, created_at);
CREATE INDEX order_sheets_created_at_idx ON commerce.order_sheets (created_at);
COMMENT ON TABLE commerce.order_sheets IS 'quotes: lines and coupons with their prices, good until expires_at, used for at most one order';
COMMENT ON COLUMN commerce.order_sheets.coupon_issue_ids IS 'the order''s coupons that were chosen';
COMMENT ON COLUMN commerce.order_sheets.consumed_order_id IS 'the order that was made of it, archived or not';
SELECT pg_catalog.pg_extension_config_dump('commerce.order_sheets', '');

CREATE TABLE commerce.order_sheet_items (
	order_sheet_id       uuid NOT NULL REFERENCES commerce.order_sheets ON DELETE CASCADE,
	seq                  int NOT NULL,
	product_id           bigint NOT NULL REFERENCES commerce.products,
	seller_id            bigint REFERENCES commerce.sellers,
	product_name         text NOT NULL,
	quantity             bigint NOT NULL,
	unit_price           bigint NOT NULL,
	unit_discount        bigint NOT NULL,
	unit_final           bigint NOT NULL,
	line_total           bigint NOT NULL,
	order_discount_share bigint NOT NULL,
	shipping_fee         bigint NOT NULL,
	shipping_discount    bigint NOT NULL,
	coupon_issue_id      bigint REFERENCES commerce.coupon_issues,
	line                 int NOT NULL,
	PRIMARY KEY (order_sheet_id, seq)
);
COMMENT ON TABLE commerce.order_sheet_items IS 'priced lines of an order sheet; columns as in order_items';
SELECT pg_catalog.pg_extension_config_dump('commerce.order_sheet_items', '');

CREATE FUNCTION commerce.create_order_sheet(user_id bigint, items jsonb, coupon_issue_ids bigint[] DEFAULT '{}')
RETURNS commerce.order_sheets
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_create_order_sheet';
COMMENT ON FUNCTION commerce.create_order_sheet(bigint, jsonb, bigint[]) IS
	'prices what a user wants to order, with arguments as those of place_order(), and returns the sheet, good for commerce.sheet_ttl. Holds neither stock nor coupons. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, PRODUCT_NOT_ON_SALE, PURCHASE_LIMIT_EXCEEDED, COUPON_NOT_USABLE, COUPON_CONDITION_NOT_MET';

CREATE FUNCTION commerce.place_sheet_order(
	order_sheet_id uuid, idempotency_key text DEFAULT NULL, payment_method commerce.payment_method DEFAULT 'BALANCE',
	delivery jsonb DEFAULT NULL, metadata jsonb DEFAULT NULL, pay_within interval DEFAULT NULL,
	balance_part bigint DEFAULT 0, payment_channel text DEFAULT NULL)
RETURNS commerce.orders
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_place_sheet_order';
COMMENT ON FUNCTION commerce.place_sheet_order(uuid, text, commerce.payment_method, jsonb, jsonb, interval, bigint, text) IS
	'orders what a sheet says, once, at the sheet''s price or a lower one, and returns the order; the other arguments are those of place_order(). Errors: those of place_order(), ORDER_SHEET_USED, ORDER_SHEET_EXPIRED, PRICE_CHANGED';

CREATE FUNCTION commerce.purge_order_sheets(max_rows int DEFAULT 10000)
RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	purged int;
BEGIN
	PERFORM commerce_private.begin_write();
	IF purge_order_sheets.max_rows IS NULL OR purge_order_sheets.max_rows < 1 THEN
		PERFORM commerce_private.raise_invalid('max_rows', 'must be 1 or more');
	END IF;
	DELETE FROM commerce.order_sheets s
	USING (SELECT d.id FROM commerce.order_sheets d
		   WHERE d.created_at < pg_catalog.now() - interval '30 days'
			 AND d.expires_at < pg_catalog.now()
		   ORDER BY d.created_at LIMIT purge_order_sheets.max_rows
		   FOR UPDATE SKIP LOCKED) due
	WHERE s.id = due.id;
	GET DIAGNOSTICS purged = ROW_COUNT;
	RETURN purged;
END
$$;
COMMENT ON FUNCTION commerce.purge_order_sheets(int) IS
	'deletes at most max_rows expired order sheets that are older than 30 days and returns how many; their orders stay. Errors: INVALID_REQUEST';

-- sql/install/events/outbox.sql

-- Outbox: the events of everything that happened, written by the transaction in which it happened.

-- A ring of daily segments: a day's events are in segment (days since 1970-01-01, UTC) mod 16. A whole
-- segment is truncated once it is past the retention time and every subscription; no row is ever updated
-- or deleted, and nothing has to be created in time for an event to find its place.
CREATE TABLE commerce.outbox (
	id            uuid NOT NULL,
	era           bigint NOT NULL,
	key           bigint NOT NULL,
	position      bigint NOT NULL,
	created_at    timestamptz NOT NULL,
	segment       smallint NOT NULL,
	aggregatetype text NOT NULL,
	aggregateid   text NOT NULL,
	type          text NOT NULL,
	payload       jsonb NOT NULL
) PARTITION BY LIST (segment);
CREATE INDEX outbox_cursor_idx ON commerce.outbox (era, key, position);
COMMENT ON TABLE commerce.outbox IS 'append-only events; read them with fetch_events(), which skips none that commits late';
COMMENT ON COLUMN commerce.outbox.id IS 'unique id of the event, by which a consumer recognises a duplicate';
COMMENT ON COLUMN commerce.outbox.aggregatetype IS 'what the event is about: User, Seller, Order, Coupon, CouponIssue, OrderSheet, Product, Promotion, Conversion';
COMMENT ON COLUMN commerce.outbox.aggregateid IS 'id of that thing; events with the same id are in order';
COMMENT ON COLUMN commerce.outbox.type IS 'event type, such as OrderCreated';
COMMENT ON COLUMN commerce.outbox.era IS 'grows when history may have been cut: after a promotion, a recovery to a point in time, the restore of a dump';
COMMENT ON COLUMN commerce.outbox.key IS 'first order of reading: not below the writing transaction''s id, not below the key of the aggregate''s event before';
COMMENT ON COLUMN commerce.outbox.position IS 'second order of reading, within a key';
COMMENT ON COLUMN commerce.outbox.segment IS 'which day of the ring';

-- Events that are written together take theirs from one number.
CREATE SEQUENCE commerce_private.outbox_position_seq INCREMENT 16;
SELECT pg_catalog.pg_extension_config_dump('commerce_private.outbox_position_seq', '');

DO $$
DECLARE
	segment text;
BEGIN
	FOR n IN 0..15 LOOP
		segment := pg_catalog.format('commerce_private.outbox_%s', n);
		EXECUTE pg_catalog.format('CREATE TABLE %s PARTITION OF commerce.outbox FOR VALUES IN (%s)', segment, n);
		EXECUTE pg_catalog.format('COMMENT ON TABLE %s IS %L', segment, pg_catalog.format('segment %s of the outbox', n));
		PERFORM pg_catalog.pg_extension_config_dump(segment::pg_catalog.regclass, '');
	END LOOP;
END
$$;

CREATE FUNCTION commerce_private.begin_write()
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_begin_write';
COMMENT ON FUNCTION commerce_private.begin_write() IS
	'what every writing operation does first: refuses a read-only transaction, checks the origin, takes the gate';

CREATE FUNCTION commerce_private.write_event(
	aggregatetype text, aggregateid text, type text, payload jsonb, key bigint, "position" bigint DEFAULT 0)
RETURNS void
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'commerce_write_event';
COMMENT ON FUNCTION commerce_private.write_event(text, text, text, jsonb, bigint, bigint) IS
	'appends an event; key is the aggregate''s event_key, set by the caller under the lock of its row; position: drawn before what else changes the aggregate could write an event, 0: it is drawn now';

CREATE TABLE commerce.event_types (
	type          text PRIMARY KEY,
	aggregatetype text NOT NULL,
	meaning       text NOT NULL
);
COMMENT ON TABLE commerce.event_types IS 'every type of event that the outbox can hold, and what it is about';
INSERT INTO commerce.event_types (type, aggregatetype, meaning) VALUES
	('UserCreated', 'User', 'a user was created'),
	('UserChanged', 'User', 'attributes of a user were changed'),
	('UserStatusChanged', 'User', 'a user was suspended, withdrawn or reactivated'),
	('UserErased', 'User', 'the personal data of a user was erased'),
	('SellerCreated', 'Seller', 'a user became a seller'),
	('SellerChanged', 'Seller', 'attributes of a seller were changed, or whether the seller sells'),
	('BalanceAdjusted', 'User', 'an admin corrected, granted or paid out'),
	('BalanceCharged', 'User', 'a user charged the prepaid balance'),
	('ChargeRequested', 'User', 'a charge waits for an external payment'),
	('ChargeFailed', 'User', 'the payment of a charge failed or timed out'),
	('OrderCreated', 'Order', 'an order was placed'),
	('OrderImported', 'Order', 'an order that was over before the shop moved here was imported'),
	('PaymentRequested', 'Order', 'an order waits for an external payment'),
	('PaymentCompleted', 'Order', 'an order was paid'),
	('PaymentFailed', 'Order', 'an external payment failed or timed out'),
	('OrderCancelled', 'Order', 'an order or a part of it was cancelled'),
	('PaymentUnexpected', 'Order', 'money came that was not asked for'),
	('RefundRequested', 'Order', 'money is to go back through the payment provider'),
	('RefundCompleted', 'Order', 'money went back'),
	('RefundFailed', 'Order', 'the payment provider could not give money back'),
	('RefundUnexpected', 'Order', 'a refund that had failed went through, after the money was refunded otherwise'),
	('DeliveryRequested', 'Order', 'a seller is to deliver its items of an order'),
	('DeliveryChanged', 'Order', 'the recipient of an order was changed'),
	('ShipmentCreated', 'Order', 'items of an order were dispatched as a parcel'),
	('ShipmentChanged', 'Order', 'a parcel has got somewhere, or its carrier or number was corrected'),
	('OrderItemStatusChanged', 'Order', 'an item of an order changed its status'),
	('CouponIssued', 'CouponIssue', 'a user claimed a coupon, or was given it'),
	('CouponUsed', 'CouponIssue', 'an order used a coupon'),
	('CouponRestored', 'CouponIssue', 'an order gave a coupon back'),
	('CouponExpired', 'CouponIssue', 'a coupon was marked expired'),
	('CouponRevoked', 'CouponIssue', 'a coupon was taken from a user'),
	('OrderSheetCreated', 'OrderSheet', 'a quote was made'),
	('ConversionAlert', 'Conversion', 'too few order sheets become orders'),
	('ProductCreated', 'Product', 'a product was put on sale'),
	('ProductChanged', 'Product', 'attributes of a product were changed'),
	('ProductStatusChanged', 'Product', 'a product was discontinued, or is on sale again'),
	('StockAdjusted', 'Product', 'somebody added units of a product, or took them off'),
	('StockDepleted', 'Product', 'the last unit of a product was sold'),
	('PromotionCreated', 'Promotion', 'a product is discounted for a time'),
	('PromotionChanged', 'Promotion', 'a promotion''s value or time was changed'),
	('PromotionEnded', 'Promotion', 'a promotion was ended before its time'),
	('CouponCreated', 'Coupon', 'a coupon was offered'),
	('CouponChanged', 'Coupon', 'attributes of a coupon were changed'),
	('CouponStopped', 'Coupon', 'a coupon is not issued any more');

-- sql/install/shop/idempotency.sql

-- Idempotency: what a key has already done.

CREATE TABLE commerce_private.idempotency_keys (
	scope        text NOT NULL,
	operation    text NOT NULL,
	key          text NOT NULL CHECK (pg_catalog.char_length(key) BETWEEN 1 AND 255),
	request_hash bytea NOT NULL,
	result       jsonb,
	created_at   timestamptz NOT NULL DEFAULT pg_catalog.now(),
	status       int,
	location     text,
	body         text,
	user_id      bigint,
	PRIMARY KEY (scope, operation, key),
	CONSTRAINT idempotency_keys_answer_check CHECK (pg_catalog.num_nonnulls(result, body) = 1 AND (body IS NULL) = (status IS NULL))
);
CREATE INDEX idempotency_keys_created_at_idx ON commerce_private.idempotency_keys (created_at);
CREATE INDEX idempotency_keys_user_id_idx ON commerce_private.idempotency_keys (user_id) WHERE user_id IS NOT NULL;
COMMENT ON TABLE commerce_private.idempotency_keys IS 'keys of the last 24 hours with the result that a repeated call gets';
COMMENT ON COLUMN commerce_private.idempotency_keys.scope IS 'what is acted on: user:7, product:3, order:5, item:9, payment:4, or shop; over REST who calls: user:7, seller:3 or admin:5, with the user''s id';
COMMENT ON COLUMN commerce_private.idempotency_keys.request_hash IS 'SHA-256 of the canonical arguments';
COMMENT ON COLUMN commerce_private.idempotency_keys.result IS 'the row that the first call returned; NULL: it came over REST';
COMMENT ON COLUMN commerce_private.idempotency_keys.status IS 'over REST: the first answer''s HTTP status';
COMMENT ON COLUMN commerce_private.idempotency_keys.location IS 'over REST: where what was made can be read; NULL: nothing was';
COMMENT ON COLUMN commerce_private.idempotency_keys.body IS 'over REST: the first answer, in its language';
COMMENT ON COLUMN commerce_private.idempotency_keys.user_id IS 'over REST: whose data is in the answer to a seller or administrator; NULL: nobody''s';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.idempotency_keys', '');

CREATE FUNCTION commerce_private.begin_key(scope text, operation text, idempotency_key text, arguments jsonb)
RETURNS jsonb
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_begin_key';
COMMENT ON FUNCTION commerce_private.begin_key(text, text, text, jsonb) IS
	'takes a key until the transaction ends, and returns what the key has done already, or NULL: the call is to do its work and end with end_key(). After begin_write(), before anything is locked; idempotency_key may be NULL. arguments: all that was asked for. Errors: INVALID_REQUEST, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce_private.end_key(scope text, operation text, idempotency_key text, arguments jsonb, result jsonb)
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_end_key';
COMMENT ON FUNCTION commerce_private.end_key(text, text, text, jsonb, jsonb) IS
	'stores the result of a call that began with begin_key()';

CREATE FUNCTION commerce.purge_idempotency_keys(max_rows int DEFAULT 10000)
RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	purged int;
BEGIN
	IF purge_idempotency_keys.max_rows IS NULL OR purge_idempotency_keys.max_rows < 1 THEN
		PERFORM commerce_private.raise_invalid('max_rows', 'must be 1 or more');
	END IF;
	DELETE FROM commerce_private.idempotency_keys k
	USING (SELECT d.scope, d.operation, d.key FROM commerce_private.idempotency_keys d
		   WHERE d.created_at < pg_catalog.now() - interval '24 hours'
		   ORDER BY d.created_at LIMIT purge_idempotency_keys.max_rows
		   FOR UPDATE SKIP LOCKED) due
	WHERE k.scope = due.scope AND k.operation = due.operation AND k.key = due.key;
	GET DIAGNOSTICS purged = ROW_COUNT;
	RETURN purged;
END
$$;
COMMENT ON FUNCTION commerce.purge_idempotency_keys(int) IS
	'deletes at most max_rows idempotency keys older than 24 hours and returns how many; an older key counts as new before that too. Errors: INVALID_REQUEST';

-- sql/install/shop/popular.sql

-- Best sellers. Nothing in the path of an order writes here: refresh_popular_products() folds what was
-- added to order_item_events since its last watermark.

CREATE TABLE commerce.product_daily_sales (
	day        date NOT NULL,
	product_id bigint NOT NULL REFERENCES commerce.products,
	units      bigint NOT NULL,
	PRIMARY KEY (day, product_id)
) WITH (fillfactor = 70);
COMMENT ON TABLE commerce.product_daily_sales IS 'units sold per day (of payment, in commerce.timezone) and product, less units cancelled later; at most the greatest bigint';
SELECT pg_catalog.pg_extension_config_dump('commerce.product_daily_sales', '');

CREATE TABLE commerce_private.sales_fold (
	mark bigint PRIMARY KEY
);
CREATE UNIQUE INDEX sales_fold_one_row ON commerce_private.sales_fold ((true));
COMMENT ON TABLE commerce_private.sales_fold IS 'watermark: events of transactions below this id are in product_daily_sales; at most one row, written when the first sales are folded';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.sales_fold', '');

CREATE TABLE commerce_private.unfolded_sales (
	day        date NOT NULL,
	product_id bigint NOT NULL REFERENCES commerce.products,
	units      bigint NOT NULL,
	PRIMARY KEY (day, product_id)
);
COMMENT ON TABLE commerce_private.unfolded_sales IS
	'what the last refresh has seen of sales and cancellations that cannot be folded yet, because an older transaction was running, or they were its own transaction''s';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.unfolded_sales', '');

CREATE TABLE commerce.popular_products (
	rank       int PRIMARY KEY,
	product_id bigint NOT NULL REFERENCES commerce.products,
	units_sold bigint NOT NULL,
	until_day  date NOT NULL,
	as_of      timestamptz NOT NULL
);
COMMENT ON TABLE commerce.popular_products IS 'the best sellers of the three days up to until_day, as of the last refresh; read them with popular_products()';
SELECT pg_catalog.pg_extension_config_dump('commerce.popular_products', '');

CREATE FUNCTION commerce_private.lock_sales()
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_lock_sales';
COMMENT ON FUNCTION commerce_private.lock_sales() IS 'lets one transaction at a time fold sales';

-- Where plans are made for the values at hand, they are for the few events since the watermark.
CREATE FUNCTION commerce_private.fold_sales(horizon bigint)
RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off
AS $$
DECLARE
	watermark bigint := coalesce((SELECT f.mark FROM commerce_private.sales_fold f), 0);
	folded int;
	unfolded int;
BEGIN
	DELETE FROM commerce_private.unfolded_sales;
	WITH sales AS MATERIALIZED (
		SELECT commerce_private.local_date(o.paid_at) AS day, i.product_id, e.xid < fold_sales.horizon AS is_settled,
			   sum(CASE e.event WHEN 'PAID' THEN e.quantity ELSE -e.quantity END) AS units
		FROM commerce.order_item_events e
		JOIN commerce.order_items i ON i.id = e.order_item_id
		JOIN commerce.orders o ON o.id = i.order_id
		WHERE (e.event = 'PAID' OR (e.event = 'CANCELLED' AND e.from_status <> 'PENDING_PAYMENT')) AND e.xid >= watermark
		GROUP BY 1, 2, 3
	), settled AS (
		INSERT INTO commerce.product_daily_sales AS d (day, product_id, units)
		SELECT s.day, s.product_id, least(s.units, 9223372036854775807) FROM sales s WHERE s.is_settled
		ON CONFLICT (day, product_id) DO UPDATE SET units = least(d.units::numeric + EXCLUDED.units, 9223372036854775807)
		RETURNING 1
	), others AS (
		INSERT INTO commerce_private.unfolded_sales (day, product_id, units)
		SELECT s.day, s.product_id, least(s.units, 9223372036854775807) FROM sales s WHERE NOT s.is_settled
		RETURNING 1
	)
	SELECT (SELECT count(*) FROM settled), (SELECT count(*) FROM others) INTO folded, unfolded;
	watermark := greatest(watermark, fold_sales.horizon);
	-- where nothing was sold there is no row: a dump that is being restored brings its own
	INSERT INTO commerce_private.sales_fold AS f (mark)
	SELECT watermark WHERE folded > 0 OR EXISTS (SELECT FROM commerce_private.sales_fold)
	ON CONFLICT ((true)) DO UPDATE SET mark = EXCLUDED.mark;
	RETURN folded + unfolded;
END
$$;
COMMENT ON FUNCTION commerce_private.fold_sales(bigint) IS
	'adds the events of transactions from the watermark up to horizon to product_daily_sales and moves the watermark; those from there on that can be seen are written to unfolded_sales';

CREATE FUNCTION commerce_private.rank_products(days int, top int)
RETURNS TABLE (rank int, product_id bigint, units_sold bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.row_number() OVER (ORDER BY s.units DESC, s.product_id)::int, s.product_id, s.units
	FROM (SELECT d.product_id, least(sum(d.units), 9223372036854775807)::bigint AS units
		  FROM (TABLE commerce.product_daily_sales UNION ALL TABLE commerce_private.unfolded_sales) d
		  WHERE d.day BETWEEN commerce_private.local_date() - (rank_products.days - 1) AND commerce_private.local_date()
		  GROUP BY d.product_id) s
	JOIN commerce.products p ON p.id = s.product_id
	WHERE s.units > 0 AND p.status <> 'DISCONTINUED'
	ORDER BY 1
	LIMIT rank_products.top
$$;
COMMENT ON FUNCTION commerce_private.rank_products(int, int) IS
	'sums product_daily_sales and unfolded_sales over the days up to today and ranks the products that can be bought; ties by product id';

CREATE FUNCTION commerce.refresh_popular_products()
RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	written int;
	ranked int;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.lock_sales();
	-- a command of its own after the lock, so that its snapshot sees what the last refresh committed
	written := commerce_private.fold_sales(commerce_private.to_key(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())));

	DELETE FROM commerce.popular_products;
	INSERT INTO commerce.popular_products (rank, product_id, units_sold, until_day, as_of)
	SELECT r.rank, r.product_id, r.units_sold, commerce_private.local_date(), pg_catalog.now()
	FROM commerce_private.rank_products(3, 100) r;
	GET DIAGNOSTICS ranked = ROW_COUNT;
	RETURN written + ranked;
END
$$;
COMMENT ON FUNCTION commerce.refresh_popular_products() IS
	'counts what was sold and cancelled since its last call and ranks the best sellers again; returns how many rows it wrote. Costs what happened since, whatever the number of orders; takes no lock that an order waits for';

CREATE FUNCTION commerce.popular_products(days int DEFAULT 3, top int DEFAULT 5)
RETURNS TABLE (rank int, product_id bigint, name text, price bigint, price_now bigint, units_sold bigint, as_of timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	refreshed_at timestamptz;
BEGIN
	IF popular_products.days IS NULL OR popular_products.days NOT BETWEEN 1 AND 3660 THEN
		PERFORM commerce_private.raise_invalid('days', 'must be from 1 to 3660');
	END IF;
	IF popular_products.top IS NULL OR popular_products.top NOT BETWEEN 1 AND 1000 THEN
		PERFORM commerce_private.raise_invalid('top', 'must be from 1 to 1000');
	END IF;

	-- the stored ranking serves when it is today's, is of these days, and nothing in it was discontinued since
	IF popular_products.days = 3 AND popular_products.top <= 100
	   AND EXISTS (SELECT FROM commerce.popular_products r)
	   AND NOT EXISTS (SELECT FROM commerce.popular_products r JOIN commerce.products p ON p.id = r.product_id
					   WHERE p.status = 'DISCONTINUED' OR r.until_day <> commerce_private.local_date()) THEN
		RETURN QUERY
			SELECT r.rank, r.product_id, p.name, p.price, p.price - m.reduction, r.units_sold, r.as_of
			FROM commerce.popular_products r JOIN commerce.products p ON p.id = r.product_id
			JOIN commerce_private.reductions m ON m.product_id = p.id
			WHERE r.rank <= popular_products.top
			ORDER BY r.rank;
	ELSE
		SELECT max(r.as_of) INTO refreshed_at FROM commerce.popular_products r;
		RETURN QUERY
			SELECT r.rank, r.product_id, p.name, p.price, p.price - m.reduction, r.units_sold, refreshed_at
			FROM commerce_private.rank_products(popular_products.days, popular_products.top) r
			JOIN commerce.products p ON p.id = r.product_id
			JOIN commerce_private.reductions m ON m.product_id = p.id
			ORDER BY r.rank;
	END IF;
END
$$;
COMMENT ON FUNCTION commerce.popular_products(int, int) IS
	'the products of which most units were sold in the last days (today counts as one), as of the last refresh, with their prices, and those now; ties by product id; discontinued products are left out. Errors: INVALID_REQUEST';

-- sql/install/worker/job.sql

-- Periodic jobs, run by pg_cron. No rule depends on one having run: they count, mark and free.

CREATE TABLE commerce_private.jobs (
	name       text PRIMARY KEY,
	schedule   text NOT NULL,
	function   text NOT NULL,
	max_rows   int,
	purpose    text NOT NULL
);
COMMENT ON TABLE commerce_private.jobs IS 'the extension''s periodic jobs; schedule_jobs() hands them to pg_cron';
COMMENT ON COLUMN commerce_private.jobs.schedule IS 'cron expression';
COMMENT ON COLUMN commerce_private.jobs.function IS 'name of a function of schema commerce, which answers how many rows it wrote';
COMMENT ON COLUMN commerce_private.jobs.max_rows IS 'its argument max_rows: the size of a batch, one after another until nothing is left to do; NULL: it is called once';
INSERT INTO commerce_private.jobs (name, schedule, function, max_rows, purpose) VALUES
	('popular-products', '* * * * *', 'refresh_popular_products', NULL, 'ranks the best sellers'),
	('expire-coupons', '* * * * *', 'expire_coupons', 1000, 'marks overdue coupons, with their events'),
	('purge-idempotency-keys', '7 * * * *', 'purge_idempotency_keys', 10000, 'deletes keys older than 24 hours'),
	('expire-pending-orders', '* * * * *', 'expire_pending_orders', 1000, 'cancels orders whose time to pay is over'),
	('purge-order-sheets', '17 * * * *', 'purge_order_sheets', 10000, 'deletes order sheets older than 30 days'),
	('fold', '* * * * *', 'fold', NULL, 'folds the journals of stock and coupons');

CREATE TABLE commerce_private.job_runs (
	name        text PRIMARY KEY,
	started_at  timestamptz NOT NULL,
	finished_at timestamptz NOT NULL,
	rows        bigint,
	failures    bigint NOT NULL DEFAULT 0,
	last_error  text,
	last_error_at timestamptz
);
COMMENT ON TABLE commerce_private.job_runs IS 'the last run of each job; see the view job_status';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.job_runs', '');

CREATE FUNCTION commerce_private.is_job_function(function text)
RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (
		SELECT FROM pg_catalog.pg_proc f
		JOIN pg_catalog.pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = f.oid
			AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
		JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND e.extname = 'commerce'
		WHERE f.pronamespace = 'commerce'::regnamespace AND f.proname = is_job_function.function
		  AND f.prorettype IN ('int4'::regtype, 'int8'::regtype) AND NOT f.proretset
		  AND coalesce(f.proargnames, '{}') <@ ARRAY['max_rows'])
$$;
COMMENT ON FUNCTION commerce_private.is_job_function(text) IS
	'whether there is a function of the extension with this name that takes at most max_rows and answers a number';

CREATE FUNCTION commerce_private.call_job(function text, max_rows int)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	written bigint;
BEGIN
	IF NOT commerce_private.is_job_function(function) THEN
		RAISE EXCEPTION 'function commerce.% is not one that jobs call', function
			USING ERRCODE = 'object_not_in_prerequisite_state';
	END IF;
	EXECUTE pg_catalog.format(CASE WHEN max_rows IS NULL THEN 'SELECT commerce.%I()' ELSE 'SELECT commerce.%I($1)' END, function)
		INTO written USING max_rows;
	RETURN written;
END
$$;
COMMENT ON FUNCTION commerce_private.call_job(text, int) IS
	'calls a job''s function and returns the rows it wrote';

CREATE FUNCTION commerce_private.run_batch(name text, goes_on boolean)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	job commerce_private.jobs;
	started timestamptz := pg_catalog.clock_timestamp();
	attempted record;
	written bigint;
	failure text;
BEGIN
	PERFORM commerce_private.check_text('name', run_batch.name);
	IF run_batch.name IS NULL THEN
		PERFORM commerce_private.raise_invalid('name', 'must not be null');
	END IF;
	SELECT * INTO job FROM commerce_private.jobs j WHERE j.name = run_batch.name;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('job', run_batch.name);
	END IF;
	IF NOT commerce_private.try_lock_job(job.name) THEN
		RETURN NULL;
	END IF;
	SELECT * INTO attempted FROM commerce_private.attempt(NULL, 'commerce_private.call_job(text,int)', job.function, job.max_rows);
	IF attempted.sqlstate IS NULL THEN
		written := attempted.result::bigint;
	ELSE
		failure := pg_catalog.format('%s (SQLSTATE %s)', attempted.message, attempted.sqlstate);
	END IF;
	INSERT INTO commerce_private.job_runs AS r (name, started_at, finished_at, rows, failures, last_error, last_error_at)
	VALUES (job.name, started, pg_catalog.clock_timestamp(), written,
			CASE WHEN failure IS NULL THEN 0 ELSE 1 END, failure,
			CASE WHEN failure IS NOT NULL THEN pg_catalog.clock_timestamp() END)
	ON CONFLICT (name) DO UPDATE
	SET started_at = CASE WHEN run_batch.goes_on THEN r.started_at ELSE EXCLUDED.started_at END,
		finished_at = EXCLUDED.finished_at,
		rows = EXCLUDED.rows + CASE WHEN run_batch.goes_on THEN coalesce(r.rows, 0) ELSE 0 END,
		failures = r.failures + EXCLUDED.failures,
		last_error = coalesce(EXCLUDED.last_error, r.last_error),
		last_error_at = coalesce(EXCLUDED.last_error_at, r.last_error_at);
	IF failure IS NOT NULL THEN
		RAISE WARNING 'job % failed: %', job.name, failure;
	END IF;
	RETURN written;
END
$$;
COMMENT ON FUNCTION commerce_private.run_batch(text, boolean) IS
	'runs a job of commerce_private.jobs, or a batch of one that is done in batches (goes_on: not its first), and records how it went; returns the rows it wrote, NULL when it failed or is running already. What says that the server is in trouble (SQLSTATE 53, 57, 58, XX) is raised and not recorded. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.run_job(name text)
RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT commerce_private.run_batch(run_job.name, false)
$$;
COMMENT ON FUNCTION commerce_private.run_job(text) IS
	'runs a job, or one batch of it, as run_batch() does, in the caller''s transaction. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.try_lock_job(name text)
RETURNS boolean
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'commerce_try_lock_job';
COMMENT ON FUNCTION commerce_private.try_lock_job(text) IS
	'takes a job''s lock until the transaction ends, or answers false when another session has it';

CREATE FUNCTION commerce_private.is_batched(name text)
RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT j.max_rows IS NOT NULL FROM commerce_private.jobs j WHERE j.name = is_batched.name
$$;
COMMENT ON FUNCTION commerce_private.is_batched(text) IS 'whether a job is done batch by batch';

-- One that commits can neither have its owner's rights nor settings of its own: it runs as the caller, in READ COMMITTED
-- or whatever the caller has, and names all it calls in full.
CREATE PROCEDURE commerce_private.run_batches(name text)
LANGUAGE plpgsql
AS $$
DECLARE
	written bigint := commerce_private.run_batch(run_batches.name, false);
BEGIN
	COMMIT;
	WHILE written OPERATOR(pg_catalog.>) 0 AND commerce_private.is_batched(run_batches.name) LOOP
		written := commerce_private.run_batch(run_batches.name, true);
		COMMIT;
	END LOOP;
END
$$;
COMMENT ON PROCEDURE commerce_private.run_batches(text) IS
	'runs a job, batch by batch with a commit after each, until nothing is left to do. For pg_cron, or CALL by hand; not in a transaction. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.require_cron()
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'pg_cron') THEN
		RAISE EXCEPTION 'extension pg_cron is not installed in database "%"', pg_catalog.current_database()
			USING ERRCODE = 'object_not_in_prerequisite_state',
				  HINT = CASE
					  WHEN coalesce(pg_catalog.current_setting('cron.database_name', true), '') = '' THEN
						  'Set shared_preload_libraries = ''pg_cron'' and cron.database_name to this database, restart the server, and run CREATE EXTENSION pg_cron. Everything else works without it; CALL commerce_private.run_batches(name) runs a job by hand.'
					  WHEN pg_catalog.current_setting('cron.database_name') <> pg_catalog.current_database() THEN
						  pg_catalog.format('pg_cron serves database "%s": set cron.database_name to this database and restart the server, or schedule CALL commerce_private.run_batches(name) there with cron.schedule_in_database().',
							  pg_catalog.current_setting('cron.database_name'))
					  ELSE 'Run CREATE EXTENSION pg_cron.'
				  END;
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.require_cron() IS 'says what is missing when pg_cron is not there';

CREATE FUNCTION commerce.schedule_jobs()
RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	job commerce_private.jobs;
	scheduled int := 0;
BEGIN
	PERFORM commerce_private.require_cron();
	FOR job IN SELECT * FROM commerce_private.jobs j ORDER BY j.name LOOP
		EXECUTE 'SELECT cron.schedule($1, $2, $3)'
			USING 'commerce ' || job.name, job.schedule, pg_catalog.format('CALL commerce_private.run_batches(%L)', job.name);
		scheduled := scheduled + 1;
	END LOOP;
	RETURN scheduled;
END
$$;
COMMENT ON FUNCTION commerce.schedule_jobs() IS
	'puts the jobs of commerce_private.jobs into pg_cron, or puts them right there, for the current role; returns how many. They run as that role. Says what is missing when pg_cron is not there';

CREATE FUNCTION commerce.unschedule_jobs()
RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	unscheduled int;
BEGIN
	PERFORM commerce_private.require_cron();
	EXECUTE 'SELECT count(cron.unschedule(jobid))::int FROM cron.job WHERE jobname LIKE ''commerce %'' AND username = CURRENT_USER'
		INTO unscheduled;
	RETURN unscheduled;
END
$$;
COMMENT ON FUNCTION commerce.unschedule_jobs() IS
	'takes the current role''s jobs of commerce out of pg_cron and returns how many there were';

-- sql/install/worker/maintenance.sql

-- The maintenance worker: in which databases it works (src/worker/).

CREATE FUNCTION commerce_private.maintenance_slots(OUT database oid, OUT state text, OUT last_fold timestamptz)
RETURNS SETOF record
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_maintenance_slots';
COMMENT ON FUNCTION commerce_private.maintenance_slots() IS 'the databases of this server that the maintenance worker knows; see the view maintenance';

CREATE VIEW commerce.maintenance AS
	SELECT d.datname AS database, s.state, s.last_fold AS last_fold_at
	FROM commerce_private.maintenance_slots() s JOIN pg_catalog.pg_database d ON d.oid = s.database;
COMMENT ON VIEW commerce.maintenance IS
	'the databases of this server in which something of commerce has happened, and whether the maintenance worker works there; empty when the library is not preloaded';
COMMENT ON COLUMN commerce.maintenance.state IS
	'WORKING; IDLE: until something happens; OFF: by commerce.maintenance; READ_ONLY: by default_transaction_read_only; SUBSCRIBER: its orders or journals come by logical replication; OTHER_VERSION: the extension there is not of a version that the library serves; NO_SLOT: more databases than commerce.maintenance_databases';
COMMENT ON COLUMN commerce.maintenance.last_fold_at IS
	'when the worker last folded what there was to fold; NULL: not since the server''s start';

-- sql/install/shop/views.sql

-- Views for SQL clients.

CREATE VIEW commerce_private.product_offers AS
	SELECT p.id, p.seller_id, s.business_name AS seller_name, coalesce(s.active, true) AS seller_active, p.name, p.description,
		   p.category, p.price, p.discount, m.reduction AS discount_now, p.price - m.reduction AS price_now, p.shipping_fee,
		   p.max_per_order, p.max_per_user, k.available AS stock,
		   CASE WHEN p.status = 'ON_SALE' AND k.available <= 0 THEN 'SOLD_OUT'::commerce.product_status
				ELSE p.status END AS status,
		   p.sku, p.group_id, p.tax_exempt, p.image_urls, p.metadata, p.created_at, p.updated_at
	FROM commerce.products p
	LEFT JOIN commerce.sellers s ON s.id = p.seller_id
	JOIN LATERAL (SELECT greatest(t.units, 0) + commerce_private.stock_elsewhere(t.product_id) AS available
				  FROM commerce_private.stock_left t WHERE t.product_id = p.id) k ON true
	JOIN commerce_private.reductions m ON m.product_id = p.id;
COMMENT ON VIEW commerce_private.product_offers IS 'every product with what is off its price now, remaining stock, and status';

CREATE VIEW commerce.product_list AS
	SELECT o.id, o.seller_id, o.seller_name, o.name, o.description, o.category, o.price, o.discount, o.discount_now,
		   o.price_now, o.shipping_fee, o.max_per_order, o.max_per_user, o.stock, o.status, o.sku, o.group_id,
		   o.tax_exempt, o.image_urls, o.metadata, o.created_at, o.updated_at
	FROM commerce_private.product_offers o
	WHERE o.status <> 'DISCONTINUED' AND o.seller_active;
COMMENT ON VIEW commerce.product_list IS 'the catalogue: products with what is off their price now, remaining stock, and status (SOLD_OUT when nothing is left); without those that are discontinued, or of a seller who is not active';
COMMENT ON COLUMN commerce.product_list.discount_now IS 'per unit: the larger of instant discount and running promotions';
COMMENT ON COLUMN commerce.product_list.stock IS 'units that can be ordered';

CREATE VIEW commerce.order_list AS
	SELECT o.id, o.user_id, o.status, o.payment_method, o.created_at, o.updated_at, o.paid_at, o.expires_at,
		   o.items_total, o.item_discount_total, o.order_discount, o.shipping_discount, o.shipping_total,
		   o.payment_amount, o.tax_free_amount, o.refunded_amount, o.recipient_name, o.recipient_phone,
		   o.recipient_address, o.recipient_memo, o.metadata, o.imported, i.items
	FROM commerce.orders o
	JOIN LATERAL (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(t)
					- '{order_id,own_shipping,lost,split_quantity,split_net,last_event,limited_user_id,user_limit}'::text[] ORDER BY t.seq) AS items
				  -- in a view i.* is what there is when it is made: a column of somebody's own is not shown
				  FROM (SELECT i.* FROM commerce.order_items i) t WHERE t.order_id = o.id) i ON true;
COMMENT ON VIEW commerce.order_list IS 'orders with their items as a jsonb array';

CREATE VIEW commerce.coupon_list AS
	SELECT c.id, c.name, c.description, c.kind, c.value, c.max_discount, c.round_unit, c.min_order_amount, c.scope,
		   c.seller_id, c.product_id, c.quantity, q.remaining, c.issue_from, c.issue_until, c.valid_days,
		   c.valid_until, c.stopped_at, c.max_units, c.claimable, c.metadata,
		   CASE WHEN c.stopped_at IS NOT NULL THEN 'STOPPED'
				WHEN c.issue_until <= pg_catalog.statement_timestamp()
				  OR c.valid_until <= pg_catalog.statement_timestamp() THEN 'EXPIRED'
				WHEN c.issue_from > pg_catalog.statement_timestamp() THEN 'SCHEDULED'
				WHEN q.remaining <= 0 THEN 'EXHAUSTED'
				ELSE 'ACTIVE' END::commerce.coupon_status AS status,
		   c.created_at, c.updated_at
	FROM commerce.coupons c
	JOIN LATERAL (SELECT greatest(t.units, 0) + commerce_private.quota_elsewhere(t.coupon_id) AS remaining
				  FROM commerce_private.quota_left t WHERE t.coupon_id = c.id) q ON true;
COMMENT ON VIEW commerce.coupon_list IS 'coupons with how many can still be issued, and their status';

-- Each is found by an index, and counting ends early.
CREATE FUNCTION commerce_private.job_backlog(name text)
RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
	now timestamptz := pg_catalog.statement_timestamp();
BEGIN
	RETURN CASE job_backlog.name
		WHEN 'archive' THEN (SELECT count(*) FROM commerce_private.find_archivable(0, commerce_private.archive_before(), 1000))
		WHEN 'confirm-delivered-items' THEN (SELECT count(*) FROM (
			SELECT FROM commerce.order_items i
			WHERE (i.status = 'DELIVERED' OR i.status = 'EXCHANGED')
			  AND i.delivered_at <= now - commerce_private.setting('commerce.auto_confirm_after')::interval LIMIT 10000) b)
		WHEN 'expire-coupons' THEN (SELECT count(*) FROM (
			SELECT FROM commerce.coupon_issues i WHERE i.status = 'ACTIVE' AND i.expires_at <= now LIMIT 10000) b)
		WHEN 'expire-pending-orders' THEN (SELECT count(*) FROM (
			(SELECT FROM commerce.orders o WHERE o.status = 'PENDING_PAYMENT' AND o.expires_at <= now LIMIT 10000)
			UNION ALL
			(SELECT FROM commerce.payments p WHERE p.kind = 'CHARGE' AND p.status = 'REQUESTED' AND p.expires_at <= now LIMIT 10000)) b)
		WHEN 'purge-idempotency-keys' THEN (SELECT count(*) FROM (
			SELECT FROM commerce_private.idempotency_keys k WHERE k.created_at < now - interval '24 hours' LIMIT 10000) b)
		WHEN 'purge-order-sheets' THEN (SELECT count(*) FROM (
			SELECT FROM commerce.order_sheets s
			WHERE s.created_at < now - interval '30 days' AND s.expires_at < now LIMIT 10000) b) END;
END
$$;
COMMENT ON FUNCTION commerce_private.job_backlog(text) IS
	'what is due for a job and not done yet, counted up to 10 000, for the archive up to 1 000; NULL: it is not counted';

CREATE VIEW commerce.job_status AS
	SELECT j.name, j.purpose, j.schedule, r.started_at AS last_started_at, r.finished_at AS last_finished_at,
		   r.rows AS last_rows, r.failures, r.last_error, r.last_error_at,
		   CASE WHEN r.name IS NULL THEN 'NEVER'
				WHEN r.finished_at < pg_catalog.statement_timestamp() - 2 * p.period - interval '2 minutes' THEN 'OVERDUE'
				WHEN r.last_error_at >= r.started_at THEN 'FAILED'
				ELSE 'OK' END AS state,
		   commerce_private.job_backlog(j.name) AS backlog
	FROM commerce_private.jobs j
	LEFT JOIN commerce_private.job_runs r ON r.name = j.name
	CROSS JOIN LATERAL (SELECT CASE WHEN j.schedule LIKE '* * %' THEN interval '1 minute'
									WHEN j.schedule LIKE '*/% * %' THEN pg_catalog.substring(j.schedule, '\d+')::int * interval '1 minute'
									WHEN j.schedule LIKE '% * * * *' THEN interval '1 hour' ELSE interval '1 day' END AS period) p;
COMMENT ON VIEW commerce.job_status IS 'the periodic jobs, when each ran last, and its last error';
COMMENT ON COLUMN commerce.job_status.failures IS 'since ever; last_error stays when later runs succeed';
COMMENT ON COLUMN commerce.job_status.backlog IS 'what is due and not done yet, counted up to 10 000, for the archive up to 1 000; NULL: it is not counted';
COMMENT ON COLUMN commerce.job_status.state IS
	'OK; FAILED: the last run; OVERDUE: it ended more than two periods and two minutes ago; NEVER: it has not run yet';

-- sql/install/escrow/rebase.sql

-- Rebase: what makes journals that came from another cluster this cluster's own (see src/escrow/origin.c), in
-- batches that are transactions of their own. Each can be done again: what a batch has done is of this cluster's
-- past, and is summed, or set to 0, to no effect.

CREATE FUNCTION commerce_private.is_empty()
RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT NOT (EXISTS (SELECT FROM commerce.users) OR EXISTS (SELECT FROM commerce.products)
				OR EXISTS (SELECT FROM commerce.coupons) OR EXISTS (SELECT FROM commerce.outbox))
$$;
COMMENT ON FUNCTION commerce_private.is_empty() IS 'nothing was ever written here';

CREATE FUNCTION commerce_private.marks_are_ahead()
RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM commerce_private.stock s WHERE s.mark > h.xmin)
		OR EXISTS (SELECT FROM commerce_private.coupon_quota q WHERE q.mark > h.xmin)
	FROM (SELECT commerce_private.to_key(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())) AS xmin) h
$$;
COMMENT ON FUNCTION commerce_private.marks_are_ahead() IS
	'some mark is not this cluster''s past: transaction ids were reset, or a table was copied by hand';

CREATE FUNCTION commerce_private.write_origin(system_identifier bigint, timeline bigint, rebasing boolean)
RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	WITH former AS (DELETE FROM commerce_private.origin RETURNING era)
	INSERT INTO commerce_private.origin (system_identifier, timeline, era, rebase_mark)
	SELECT write_origin.system_identifier, write_origin.timeline, commerce_private.next_era(max(era)),
		   CASE WHEN write_origin.rebasing
				THEN commerce_private.to_key(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())) END
	FROM former
	RETURNING era
$$;
COMMENT ON FUNCTION commerce_private.write_origin(bigint, bigint, boolean) IS
	'makes this cluster the origin, in a new era, which it returns; with a rebase to be done: ids from its mark on are this cluster''s, smaller ones are folded';

CREATE FUNCTION commerce_private.nth_after(relation regclass, id_column name, after bigint, n int)
RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
DECLARE
	id bigint;
BEGIN
	EXECUTE pg_catalog.format('SELECT max(i) FROM (SELECT %1$I AS i FROM %2$s WHERE %1$I > $1 ORDER BY 1 LIMIT $2) t',
							  nth_after.id_column, nth_after.relation)
		INTO id USING nth_after.after, nth_after.n;
	RETURN id;
END
$$;
COMMENT ON FUNCTION commerce_private.nth_after(regclass, name, bigint, int) IS
	'the id up to which the next n rows go; NULL: there is none';

CREATE FUNCTION commerce_private.rebase_batch()
RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	steps CONSTANT text[] := '{sales,stock,coupons,histories,users,orders,end}'::text[];
	o commerce_private.origin;
	upper bigint;
BEGIN
	SELECT * INTO o FROM commerce_private.origin;
	CASE steps[o.rebase_step]
	WHEN 'sales' THEN
		-- all of them; until the end no id is above the watermark
		PERFORM commerce_private.fold_sales(9223372036854775807);
	WHEN 'stock' THEN
		upper := commerce_private.nth_after('commerce_private.stock', 'product_id', o.rebase_done_to, 200);
		UPDATE commerce_private.stock s
		SET on_hand = l.units, mark = o.rebase_mark, event_key = CASE WHEN s.event_key < o.rebase_mark THEN s.event_key ELSE 0 END
		FROM commerce_private.stock_left l
		WHERE l.product_id = s.product_id AND s.product_id > o.rebase_done_to AND s.product_id <= upper;
		UPDATE commerce.stock_entries SET xid = 0
		WHERE product_id > o.rebase_done_to AND product_id <= upper AND xid >= o.rebase_mark;
	WHEN 'coupons' THEN
		upper := commerce_private.nth_after('commerce_private.coupon_quota', 'coupon_id', o.rebase_done_to, 50);
		UPDATE commerce_private.coupon_quota q SET on_hand = l.units, mark = o.rebase_mark
		FROM commerce_private.quota_left l
		WHERE l.coupon_id = q.coupon_id AND q.coupon_id > o.rebase_done_to AND q.coupon_id <= upper;
		UPDATE commerce.coupon_issues i
		SET xid = CASE WHEN i.xid < o.rebase_mark THEN i.xid ELSE 0 END,
			event_key = CASE WHEN i.event_key < o.rebase_mark THEN i.event_key ELSE 0 END
		WHERE i.coupon_id > o.rebase_done_to AND i.coupon_id <= upper
		  AND (i.xid >= o.rebase_mark OR i.event_key >= o.rebase_mark);
		UPDATE commerce.quota_entries SET xid = 0
		WHERE coupon_id > o.rebase_done_to AND coupon_id <= upper AND xid >= o.rebase_mark;
	WHEN 'histories' THEN
		upper := commerce_private.nth_after('commerce.order_item_events', 'order_item_id', o.rebase_done_to, 5000);
		UPDATE commerce.order_item_events SET xid = 0
		WHERE order_item_id > o.rebase_done_to AND order_item_id <= upper AND xid >= o.rebase_mark;
	WHEN 'users' THEN
		upper := commerce_private.nth_after('commerce.users', 'id', o.rebase_done_to, 5000);
		UPDATE commerce.users SET event_key = 0
		WHERE id > o.rebase_done_to AND id <= upper AND event_key >= o.rebase_mark;
	WHEN 'orders' THEN
		upper := commerce_private.nth_after('commerce.orders', 'id', o.rebase_done_to, 5000);
		UPDATE commerce.orders SET event_key = 0
		WHERE id > o.rebase_done_to AND id <= upper AND event_key >= o.rebase_mark;
	ELSE
		UPDATE commerce.sellers SET event_key = 0 WHERE event_key >= o.rebase_mark;
		UPDATE commerce.promotions SET event_key = 0 WHERE event_key >= o.rebase_mark;
		UPDATE commerce.coupons SET event_key = 0 WHERE event_key >= o.rebase_mark;
		UPDATE commerce_private.conversion_windows SET event_key = 0 WHERE event_key >= o.rebase_mark;
		UPDATE commerce_private.sales_fold SET mark = o.rebase_mark;
		UPDATE commerce_private.origin SET rebase_mark = NULL, rebase_step = 1, rebase_done_to = 0;
		RETURN NULL;
	END CASE;
	UPDATE commerce_private.origin
	SET rebase_step = o.rebase_step + CASE WHEN upper IS NULL THEN 1 ELSE 0 END, rebase_done_to = coalesce(upper, 0);
	RETURN steps[o.rebase_step] || coalesce(' up to ' || upper, '');
END
$$;
COMMENT ON FUNCTION commerce_private.rebase_batch() IS
	'does the next batch of a rebase, whole products and coupons: sums what was folded and not, sets the mark to this cluster''s, and ids from it on to 0; returns what it did, NULL when the rebase has ended';

CREATE FUNCTION commerce.prepare_after_restore()
RETURNS boolean
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_prepare_after_restore';
COMMENT ON FUNCTION commerce.prepare_after_restore() IS
	'makes data that was restored from a dump, or came by logical replication, this cluster''s own, and returns whether anything was to be done. A background process does it in batches, which goes on when this call is cancelled; until it has ended, operations are refused with SERVICE_BUSY. With the library preloaded it begins by itself at the first call that is refused';

-- sql/install/shop/transfer.sql

-- Units of stock and quota that move between cells (docs/cells.md). A unit is in one cell, or on its way: sent by a row of
-- transfers_out, and there when the other cell has a row of transfers_in with the same id.

CREATE TABLE commerce.transfers_out (
	id           uuid PRIMARY KEY,
	kind         commerce.unit_kind NOT NULL,
	resource_id  bigint NOT NULL,
	units        bigint NOT NULL CHECK (units > 0),
	to_cell      int NOT NULL,
	at           timestamptz NOT NULL DEFAULT pg_catalog.now(),
	delivered_at timestamptz
);
CREATE INDEX transfers_out_resource_idx ON commerce.transfers_out (kind, resource_id);
CREATE INDEX transfers_out_open_idx ON commerce.transfers_out (at) WHERE delivered_at IS NULL;
COMMENT ON TABLE commerce.transfers_out IS 'units that this cell has sent to others; rows are kept for good';
COMMENT ON COLUMN commerce.transfers_out.id IS 'never used twice, in all cells';
COMMENT ON COLUMN commerce.transfers_out.kind IS 'STOCK: units of a product; QUOTA: of a coupon';
COMMENT ON COLUMN commerce.transfers_out.resource_id IS 'product id or coupon id';
COMMENT ON COLUMN commerce.transfers_out.delivered_at IS 'when the other cell was known to have them; NULL: it may not have them yet';
SELECT pg_catalog.pg_extension_config_dump('commerce.transfers_out', '');

CREATE TABLE commerce.transfers_in (
	id          uuid PRIMARY KEY,
	kind        commerce.unit_kind NOT NULL,
	resource_id bigint NOT NULL,
	units       bigint NOT NULL CHECK (units > 0),
	from_cell   int NOT NULL,
	at          timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE INDEX transfers_in_resource_idx ON commerce.transfers_in (kind, resource_id);
COMMENT ON TABLE commerce.transfers_in IS 'units that this cell has received from others; rows are kept for good, since an id is received once';
COMMENT ON COLUMN commerce.transfers_in.id IS 'as the sending cell has it in transfers_out';
COMMENT ON COLUMN commerce.transfers_in.kind IS 'STOCK: units of a product; QUOTA: of a coupon';
COMMENT ON COLUMN commerce.transfers_in.resource_id IS 'product id or coupon id';
SELECT pg_catalog.pg_extension_config_dump('commerce.transfers_in', '');

CREATE FUNCTION commerce_private.moved_units(first bigint, last bigint, kind commerce.unit_kind)
RETURNS TABLE (resource_id bigint, units bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT r.id, coalesce(sum(t.units), 0)::bigint
	FROM (SELECT s.product_id AS id FROM commerce_private.stock s WHERE moved_units.kind = 'STOCK'
		  UNION ALL SELECT q.coupon_id FROM commerce_private.coupon_quota q WHERE moved_units.kind = 'QUOTA') r
	LEFT JOIN (SELECT o.kind, o.resource_id, -o.units AS units FROM commerce.transfers_out o
			   UNION ALL SELECT i.kind, i.resource_id, i.units FROM commerce.transfers_in i) t
		ON t.kind = moved_units.kind AND t.resource_id = r.id AND t.resource_id BETWEEN first AND last
	WHERE r.id BETWEEN first AND last
	GROUP BY r.id
$$;
COMMENT ON FUNCTION commerce_private.moved_units(bigint, bigint, commerce.unit_kind) IS
	'units of each product or coupon, of a range of ids, that came from other cells, less those that went there';

CREATE VIEW commerce.open_transfers AS
	SELECT t.id, t.kind, t.resource_id, t.units, t.to_cell, t.at
	FROM commerce.transfers_out t WHERE t.delivered_at IS NULL;
COMMENT ON VIEW commerce.open_transfers IS
	'transfers that are to be finished: receive_units() in the other cell, then confirm_transfer() here; anybody may, at any time and again';

-- The columns of both parts have the same types: so who asks only for what was taken reads no journal.
CREATE VIEW commerce.allotments AS
	SELECT 'STOCK'::commerce.unit_kind AS kind, l.product_id AS resource_id, greatest(l.units, 0) AS available, c.taken,
		   coalesce(o.units, 0) AS overdue
	FROM commerce_private.stock_left l
	LEFT JOIN commerce_private.escrow_counters() c ON c.journal = 'commerce.stock_entries'::regclass AND c.resource_id = l.product_id
	LEFT JOIN (SELECT i.product_id, pg_catalog.sum(i.quantity)::bigint AS units
			   FROM commerce.orders o JOIN commerce.order_items i ON i.order_id = o.id
			   WHERE o.status = 'PENDING_PAYMENT' AND o.expires_at <= pg_catalog.now() GROUP BY 1) o ON o.product_id = l.product_id
	UNION ALL
	SELECT 'QUOTA', l.coupon_id, greatest(l.units, 0), c.taken, 0::bigint
	FROM commerce_private.quota_left l
	LEFT JOIN commerce_private.escrow_counters() c ON c.journal = 'commerce.coupon_issues'::regclass AND c.resource_id = l.coupon_id;
COMMENT ON VIEW commerce.allotments IS 'what this cell has of each product and coupon';
COMMENT ON COLUMN commerce.allotments.resource_id IS 'product id or coupon id';
COMMENT ON COLUMN commerce.allotments.available IS 'units that are here; those that transactions have taken which have not ended are among them';
COMMENT ON COLUMN commerce.allotments.taken IS
	'units that orders and claims took here, since the product or coupon got its counter; NULL: it has none, as without preloading';
COMMENT ON COLUMN commerce.allotments.overdue IS 'units that overdue unpaid orders hold: they make way to whoever wants some';

CREATE FUNCTION commerce.send_units(transfer_id uuid, kind commerce.unit_kind, resource_id bigint, units bigint, to_cell int)
RETURNS bigint
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_send_units';
COMMENT ON FUNCTION commerce.send_units(uuid, commerce.unit_kind, bigint, bigint, int) IS
	'takes up to so many units of a product or coupon out of this cell, as many as are here and for which overdue unpaid orders make way, and returns how many are now on their way to another cell; 0: none, and nothing is written. The same id again returns what it has sent. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.receive_units(transfer_id uuid, kind commerce.unit_kind, resource_id bigint, units bigint, from_cell int)
RETURNS boolean
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_receive_units';
COMMENT ON FUNCTION commerce.receive_units(uuid, commerce.unit_kind, bigint, bigint, int) IS
	'adds units that another cell has sent, and committed, to this cell; false: this id was received before, and nothing is done. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.confirm_transfer(transfer_id uuid)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
BEGIN
	PERFORM commerce_private.begin_write();
	IF confirm_transfer.transfer_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('transfer_id', 'must not be null');
	END IF;
	UPDATE commerce.transfers_out t SET delivered_at = pg_catalog.clock_timestamp()
	WHERE t.id = confirm_transfer.transfer_id AND t.delivered_at IS NULL;
	IF FOUND THEN
		RETURN true;
	END IF;
	IF NOT EXISTS (SELECT FROM commerce.transfers_out t WHERE t.id = confirm_transfer.transfer_id) THEN
		PERFORM commerce_private.raise_not_found('transfer', confirm_transfer.transfer_id::text);
	END IF;
	RETURN false;
END
$$;
COMMENT ON FUNCTION commerce.confirm_transfer(uuid) IS
	'notes that the other cell has received a transfer of this one; false: that was noted before. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.cell_books()
RETURNS TABLE (kind commerce.unit_kind, resource_id bigint, available bigint, made bigint, sent bigint, received bigint, open bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT t.kind, t.resource_id,
		   CASE t.kind WHEN 'STOCK' THEN (SELECT l.units FROM commerce_private.stock_left l WHERE l.product_id = t.resource_id)
				ELSE (SELECT l.units FROM commerce_private.quota_left l WHERE l.coupon_id = t.resource_id) END,
		   CASE t.kind WHEN 'STOCK' THEN (SELECT coalesce(sum(e.delta), 0) FROM commerce.stock_entries e
										  WHERE e.product_id = t.resource_id AND e.reason <> 'TRANSFER')
				ELSE (SELECT coalesce(sum(e.delta), 0) FROM commerce.quota_entries e
					  WHERE e.coupon_id = t.resource_id AND e.reason <> 'TRANSFER') END::bigint,
		   sum(t.sent)::bigint, sum(t.received)::bigint, sum(t.open)::bigint
	FROM (SELECT o.kind, o.resource_id, o.units AS sent, 0 AS received, CASE WHEN o.delivered_at IS NULL THEN o.units ELSE 0 END AS open
		  FROM commerce.transfers_out o
		  UNION ALL
		  SELECT i.kind, i.resource_id, 0, i.units, 0 FROM commerce.transfers_in i) t
	GROUP BY 1, 2 ORDER BY 1, 2
$$;
COMMENT ON FUNCTION commerce.cell_books() IS
	'what a proof over all cells needs of this one, for each product and coupon of which units have moved: available, units that are here; made, the sum of its entries but for transfers (of a coupon: how many may be issued, in the cell that owns it); sent and received, units that moved; open, sent units of open_transfers. Over all cells sent less received is what is on its way, from 0 to open; of a coupon made adds up to its quantity';

-- A cell that has lost its last commits, as by a failover to a standby that was behind: units that it had sent are there
-- twice, units that it had received are nowhere. The other cells' books tell which.
CREATE FUNCTION commerce.transfers_with(cell int, since timestamptz DEFAULT '-infinity')
RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF transfers_with.cell IS NULL OR transfers_with.since IS NULL THEN
		PERFORM commerce_private.raise_invalid(CASE WHEN transfers_with.cell IS NULL THEN 'cell' ELSE 'since' END, 'must not be null');
	END IF;
	RETURN pg_catalog.jsonb_build_object(
		'cell', commerce.cell_number(), 'with', transfers_with.cell,
		'sent', (SELECT coalesce(pg_catalog.jsonb_agg(t), '[]')
				 FROM (SELECT o.id, o.kind, o.resource_id, o.units FROM commerce.transfers_out o
					   WHERE o.to_cell = transfers_with.cell AND o.at >= transfers_with.since) t),
		'received', (SELECT coalesce(pg_catalog.jsonb_agg(t), '[]')
					 FROM (SELECT i.id, i.kind, i.resource_id, i.units FROM commerce.transfers_in i
						   WHERE i.from_cell = transfers_with.cell AND i.at >= transfers_with.since) t));
END
$$;
COMMENT ON FUNCTION commerce.transfers_with(int, timestamptz) IS
	'what this cell has sent to another one, and received from it, since a moment, for reconcile_transfers() there. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.take_units(kind commerce.unit_kind, resource_id bigint, units bigint)
RETURNS bigint
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'commerce_take_units';
COMMENT ON FUNCTION commerce_private.take_units(commerce.unit_kind, bigint, bigint) IS
	'the part of send_units() that takes: up to so many units, with their journal; returns how many. Errors: ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.are_transfers(list jsonb)
RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT NOT EXISTS (
		SELECT FROM pg_catalog.jsonb_array_elements(are_transfers.list) e
		WHERE (e ->> 'id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' AND e ->> 'kind' IN ('STOCK', 'QUOTA')
			   AND e ->> 'resource_id' ~ '^\d{1,18}$' AND e ->> 'units' ~ '^[1-9]\d{0,12}$') IS NOT TRUE)
$$;
COMMENT ON FUNCTION commerce_private.are_transfers(jsonb) IS 'whether an array has transfers as transfers_with() returns them';

CREATE FUNCTION commerce.reconcile_transfers(books jsonb)
RETURNS TABLE (transfer_id uuid, kind commerce.unit_kind, resource_id bigint, direction text, units bigint, missing bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	other CONSTANT int := CASE WHEN books ->> 'cell' ~ '^\d{1,4}$' AND pg_catalog.jsonb_typeof(books -> 'cell') = 'number' THEN (books ->> 'cell')::int END;
	t record;
BEGIN
	PERFORM commerce_private.begin_write();
	IF books IS NULL OR other IS NULL OR other = commerce.cell_number() OR other NOT BETWEEN 0 AND 8999 OR books -> 'with' IS DISTINCT FROM pg_catalog.to_jsonb(commerce.cell_number())
	   OR pg_catalog.jsonb_typeof(books -> 'sent') IS DISTINCT FROM 'array' OR pg_catalog.jsonb_typeof(books -> 'received') IS DISTINCT FROM 'array'
	   OR NOT commerce_private.are_transfers(books -> 'sent') OR NOT commerce_private.are_transfers(books -> 'received') THEN
		PERFORM commerce_private.raise_invalid('books', 'must be what transfers_with() this cell returned in another one');
	END IF;
	FOR t IN
		SELECT r.id, r.kind, r.resource_id, r.units - coalesce(o.units, 0) AS units
		FROM pg_catalog.jsonb_to_recordset(books -> 'received') AS r (id uuid, kind commerce.unit_kind, resource_id bigint, units bigint)
		LEFT JOIN commerce.transfers_out o ON o.id = r.id
		WHERE r.units > coalesce(o.units, 0) ORDER BY r.kind DESC, r.resource_id, r.id
	LOOP
		transfer_id := t.id;
		kind := t.kind;
		resource_id := t.resource_id;
		direction := 'SENT';
		units := commerce_private.take_units(t.kind, t.resource_id, t.units);
		missing := t.units - units;
		IF units > 0 THEN
			INSERT INTO commerce.transfers_out AS o (id, kind, resource_id, units, to_cell, delivered_at)
			VALUES (t.id, t.kind, t.resource_id, units, other, pg_catalog.clock_timestamp())
			ON CONFLICT (id) DO UPDATE SET units = o.units + EXCLUDED.units;
		END IF;
		RETURN NEXT;
	END LOOP;
	FOR t IN
		SELECT s.* FROM pg_catalog.jsonb_to_recordset(books -> 'sent') AS s (id uuid, kind commerce.unit_kind, resource_id bigint, units bigint)
		WHERE NOT EXISTS (SELECT FROM commerce.transfers_in i WHERE i.id = s.id) ORDER BY s.kind DESC, s.resource_id, s.id
	LOOP
		CONTINUE WHEN NOT commerce.receive_units(t.id, t.kind, t.resource_id, t.units, other);
		transfer_id := t.id;
		kind := t.kind;
		resource_id := t.resource_id;
		direction := 'RECEIVED';
		units := t.units;
		missing := 0;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION commerce.reconcile_transfers(jsonb) IS
	'for a cell that has lost its last commits, with what transfers_with() this cell returns in each other one: sends again, at once and as much as there is, what the other has received from here, and receives what it has sent. Returns what was done; missing: units that both cells had and that were sold in both, for which orders are to be cancelled here before it is called again. Changes nothing where nothing was lost. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.grant_mover(role regrole)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.require_role(grant_mover.role);
	PERFORM commerce_private.close_row_types();
	EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA commerce TO %s', grant_mover.role);
	EXECUTE pg_catalog.format('GRANT SELECT ON commerce.open_transfers, commerce.allotments TO %s', grant_mover.role);
	EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %s',
		(SELECT pg_catalog.string_agg(f.oid::regprocedure::text, ', ')
		 FROM pg_catalog.pg_proc f
		 WHERE f.oid IN (SELECT commerce_private.view_functions(ARRAY['commerce.allotments'::regclass]))
			OR f.pronamespace = 'commerce'::regnamespace
			   AND f.proname = ANY ('{cell_books,cell_number,confirm_transfer,receive_units,send_units,set_elsewhere,wait_for_wants}')),
		grant_mover.role);
END
$$;
COMMENT ON FUNCTION commerce.grant_mover(regrole) IS
	'lets commerce-mover''s role move units between this cell and others, and nothing else; for the owner of the extension. revoke_app() takes it back. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

-- sql/install/shop/invariants.sql

-- The books, proved: whole in one statement, or a range of ids at a time (shop/scrub.sql). A function checks what
-- belongs to one kind of thing, of those whose ids are in a range; its plan is made for that range. What has to do with
-- orders is checked of archived ones, too. Ids are of a cell where set_cell() was called: a shop that is
-- no cell may have others.

CREATE FUNCTION commerce_private.relation_obstacles(OUT relation text, OUT obstacle text)
RETURNS SETOF record
LANGUAGE C STABLE
AS 'MODULE_PATHNAME', 'commerce_relation_obstacles';
COMMENT ON FUNCTION commerce_private.relation_obstacles() IS
	'the tables, indexes and sequences that the library cannot work with, and why: their rows are not in PostgreSQL''s own table of that name';

CREATE FUNCTION commerce_private.check_users(first bigint, last bigint)
RETURNS TABLE (invariant text, violations bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
	cell CONSTANT int := (SELECT c.number FROM commerce_private.cell c);
BEGIN
	RETURN QUERY
		SELECT 'balance is the sum of its entries',
			(SELECT count(*) FROM commerce.users u
			 LEFT JOIN (SELECT e.user_id, sum(e.amount) AS total FROM commerce.balance_entries e
						WHERE e.user_id BETWEEN first AND last GROUP BY 1) e ON e.user_id = u.id
			 WHERE u.id BETWEEN first AND last AND u.balance <> coalesce(e.total, 0))
		UNION ALL SELECT 'balance_after is the running sum of the entries',
			(SELECT count(*) FROM (SELECT e.balance_after, sum(e.amount) OVER (PARTITION BY e.user_id ORDER BY e.number) AS running
								   FROM commerce.balance_entries e WHERE e.user_id BETWEEN first AND last) r
			 WHERE r.balance_after <> r.running)
		UNION ALL SELECT 'balance entries are numbered without gaps',
			(SELECT count(*) FROM commerce.users u
			 LEFT JOIN (SELECT e.user_id, max(e.number) AS newest, min(e.number) AS oldest, count(*) AS entries
						FROM commerce.balance_entries e WHERE e.user_id BETWEEN first AND last GROUP BY 1) e ON e.user_id = u.id
			 WHERE u.id BETWEEN first AND last
			   AND (u.last_entry <> coalesce(e.newest, 0) OR e.entries <> e.newest - e.oldest + 1
					OR e.oldest > 1 AND NOT EXISTS (SELECT FROM commerce.balance_entries o
													WHERE o.user_id = u.id AND o.number = e.oldest AND o.kind = 'OPENING')))
		UNION ALL SELECT 'a charge that was paid has its one entry',
			(SELECT count(*) FROM
			 (SELECT p.id, p.user_id, p.amount FROM commerce.payments p
			  WHERE p.order_id IS NULL AND p.user_id BETWEEN first AND last AND p.kind = 'CHARGE' AND p.status = 'COMPLETED') p
			 FULL JOIN (SELECT e.payment_id, min(e.user_id) AS user_id, sum(e.amount) AS amount, count(*) AS entries
						FROM (SELECT n.payment_id, n.user_id, n.amount FROM commerce.balance_entries n WHERE n.user_id BETWEEN first AND last
							  UNION ALL
							  SELECT a.payment_id, a.user_id, a.amount FROM commerce_private.archived_charges a WHERE a.user_id BETWEEN first AND last) e
						WHERE e.payment_id IS NOT NULL GROUP BY 1) e ON e.payment_id = p.id
			 WHERE (p.user_id, p.amount, 1) IS DISTINCT FROM (e.user_id, e.amount, e.entries))
		UNION ALL SELECT 'a seller is active when the user is',
			(SELECT count(*) FROM commerce.sellers s JOIN commerce.users u ON u.id = s.user_id
			 WHERE u.id BETWEEN first AND last AND s.active <> (u.status = 'ACTIVE'))
		UNION ALL SELECT 'nothing personal is left of an erased user',
			(SELECT count(*) FROM commerce.users u
			 WHERE u.id BETWEEN first AND last AND u.erased_at IS NOT NULL
			   AND (u.status <> 'WITHDRAWN' OR u.name <> 'erased'
					OR pg_catalog.num_nonnulls(u.email, u.phone, u.address, u.external_id, u.metadata) > 0
					OR EXISTS (SELECT FROM commerce_private.all_orders o
							   WHERE o.user_id = u.id
								 AND pg_catalog.num_nonnulls(o.recipient_name, o.recipient_phone, o.recipient_address,
									o.recipient_memo, o.metadata) > 0)))
		UNION ALL SELECT 'an erased user has no coupon to use',
			(SELECT count(*) FROM commerce.users u JOIN commerce.coupon_issues i ON i.user_id = u.id
			 WHERE u.id BETWEEN first AND last AND u.erased_at IS NOT NULL AND i.status = 'ACTIVE')
		UNION ALL SELECT 'nobody has more of a product than its limit allowed',
			(SELECT count(*) FROM (SELECT
								   FROM (SELECT i.limited_user_id AS user_id, coalesce(i.replacement_product_id, i.product_id) AS product_id,
												i.quantity AS units, i.user_limit
										 FROM commerce.order_items i
										 WHERE i.limited_user_id BETWEEN first AND last AND i.status NOT IN ('CANCELLED', 'RETURNED')
										 UNION ALL
										 SELECT a.user_id, a.product_id, a.units, a.user_limit FROM commerce_private.archived_units a
										 WHERE a.user_id BETWEEN first AND last) u
								   GROUP BY u.user_id, u.product_id HAVING sum(u.units) > max(u.user_limit)) l)
		UNION ALL SELECT 'a user is of this cell or of cell 0''s staff',
			(SELECT count(*) FROM commerce.users u
			 WHERE u.id BETWEEN first AND last AND commerce.cell_of(u.id) <> cell
			   AND NOT EXISTS (SELECT FROM commerce_private.staff s WHERE s.id = u.id));
END
$$;
COMMENT ON FUNCTION commerce_private.check_users(bigint, bigint) IS 'the invariants of users, of a range of ids, with how many rows break each';

CREATE FUNCTION commerce_private.check_products(first bigint, last bigint)
RETURNS TABLE (invariant text, violations bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
	cell CONSTANT int := (SELECT c.number FROM commerce_private.cell c);
BEGIN
	RETURN QUERY
		SELECT 'stock is never negative',
			(SELECT count(*) FROM (SELECT e.product_id FROM commerce.stock_entries e
								   WHERE e.product_id BETWEEN first AND last GROUP BY 1 HAVING sum(e.delta) < 0) n)
		UNION ALL SELECT 'folded and unfolded stock is the sum of all entries',
			(SELECT count(*) FROM commerce.products p
			 LEFT JOIN commerce_private.stock_left l ON l.product_id = p.id
			 LEFT JOIN (SELECT e.product_id, sum(e.delta) AS total FROM commerce.stock_entries e
						WHERE e.product_id BETWEEN first AND last GROUP BY 1) e ON e.product_id = p.id
			 WHERE p.id BETWEEN first AND last AND l.units IS DISTINCT FROM coalesce(e.total, 0))
		UNION ALL SELECT 'the tables'' rows are where the library reads and writes them',
			(SELECT count(*) FROM commerce_private.relation_obstacles())
		UNION ALL SELECT 'the gate''s triggers are always enabled',
			(SELECT count(*) FROM pg_catalog.pg_trigger g
			 WHERE g.tgfoid = 'commerce_private.gate_foreign_write()'::regprocedure AND g.tgenabled <> 'A')
		UNION ALL SELECT 'units of products that went to other cells or came from them are in the journal',
			(SELECT count(*) FROM commerce_private.moved_units(first, last, 'STOCK') m
			 LEFT JOIN (SELECT e.product_id, sum(e.delta) AS total FROM commerce.stock_entries e
						WHERE e.product_id BETWEEN first AND last AND e.reason = 'TRANSFER' GROUP BY 1) e ON e.product_id = m.resource_id
			 WHERE m.units <> coalesce(e.total, 0))
		UNION ALL SELECT 'a product and its promotions were made in this cell or in cell 0',
			(SELECT count(*) FROM commerce.products p
			 WHERE p.id BETWEEN first AND last
			   AND (commerce.cell_of(p.id) NOT IN (0, cell)
					OR EXISTS (SELECT FROM commerce.promotions r WHERE r.product_id = p.id AND commerce.cell_of(r.id) NOT IN (0, cell))));
END
$$;
COMMENT ON FUNCTION commerce_private.check_products(bigint, bigint) IS
	'the invariants of products, of a range of ids, and of the gate, with how many rows break each';

CREATE FUNCTION commerce_private.check_coupons(first bigint, last bigint)
RETURNS TABLE (invariant text, violations bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
	cell CONSTANT int := (SELECT c.number FROM commerce_private.cell c);
BEGIN
	RETURN QUERY
		SELECT 'a coupon is not issued more often than its quantity',
			(SELECT count(*) FROM commerce.coupons c
			 WHERE c.id BETWEEN first AND last
			   AND c.quantity < (SELECT count(*) FROM commerce.coupon_issues i WHERE i.coupon_id = c.id))
		UNION ALL SELECT 'a coupon''s quantity is the sum of its entries',
			(SELECT count(*) FROM commerce.coupons c
			 LEFT JOIN (SELECT e.coupon_id, sum(e.delta) AS total FROM commerce.quota_entries e WHERE e.reason <> 'TRANSFER' GROUP BY 1) e ON e.coupon_id = c.id
			 WHERE c.id BETWEEN first AND last
			   -- in the cell that made it; the others have what came from there
			   AND coalesce(e.total, 0) <> CASE WHEN coalesce(commerce.cell_of(c.id) = cell, true) THEN c.quantity ELSE 0 END)
		UNION ALL SELECT 'folded and unfolded quota is the sum of all entries less all issues',
			(SELECT count(*) FROM commerce.coupons c
			 LEFT JOIN commerce_private.quota_left l ON l.coupon_id = c.id
			 LEFT JOIN (SELECT e.coupon_id, sum(e.delta) AS total FROM commerce.quota_entries e GROUP BY 1) e ON e.coupon_id = c.id
			 WHERE c.id BETWEEN first AND last
			   AND l.units IS DISTINCT FROM coalesce(e.total, 0) - (SELECT count(*) FROM commerce.coupon_issues i WHERE i.coupon_id = c.id))
		UNION ALL SELECT 'units of coupons that went to other cells or came from them are in the journal',
			(SELECT count(*) FROM commerce_private.moved_units(first, last, 'QUOTA') m
			 LEFT JOIN (SELECT e.coupon_id, sum(e.delta) AS total FROM commerce.quota_entries e
						WHERE e.coupon_id BETWEEN first AND last AND e.reason = 'TRANSFER' GROUP BY 1) e ON e.coupon_id = m.resource_id
			 WHERE m.units <> coalesce(e.total, 0))
		UNION ALL SELECT 'a coupon was made in this cell or in cell 0',
			(SELECT count(*) FROM commerce.coupons c
			 WHERE c.id BETWEEN first AND last AND commerce.cell_of(c.id) NOT IN (0, cell));
END
$$;
COMMENT ON FUNCTION commerce_private.check_coupons(bigint, bigint) IS 'the invariants of coupons, of a range of ids, with how many rows break each';

CREATE FUNCTION commerce_private.check_coupon_issues(first bigint, last bigint)
RETURNS TABLE (invariant text, violations bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
	cell CONSTANT int := (SELECT c.number FROM commerce_private.cell c);
BEGIN
	RETURN QUERY
		SELECT 'a coupon is used by at most one live order',
			(SELECT count(*) FROM commerce.coupon_issues i
			 LEFT JOIN (SELECT c.coupon_issue_id, count(*) AS uses, max(c.order_id) AS order_id
						FROM commerce_private.all_order_coupons c
						WHERE c.coupon_issue_id BETWEEN first AND last AND c.restored_at IS NULL GROUP BY 1) c ON c.coupon_issue_id = i.id
			 WHERE i.id BETWEEN first AND last
			   AND ((i.status = 'USED') <> (coalesce(c.uses, 0) = 1) OR coalesce(c.uses, 0) > 1
					OR (i.status = 'USED' AND i.used_order_id <> c.order_id))
			   -- whose month of the archive was dropped
			   AND NOT (c.uses IS NULL AND EXISTS (SELECT FROM commerce_private.archived a
												   WHERE a.order_id = i.used_order_id
													 AND NOT EXISTS (SELECT FROM commerce_archive.orders o WHERE o.id = a.order_id))))
		UNION ALL SELECT 'a coupon was issued in this cell',
			(SELECT count(*) FROM commerce.coupon_issues i WHERE i.id BETWEEN first AND last AND commerce.cell_of(i.id) <> cell);
END
$$;
COMMENT ON FUNCTION commerce_private.check_coupon_issues(bigint, bigint) IS
	'the invariants of issued coupons, of a range of ids, with how many rows break each';

CREATE FUNCTION commerce_private.entries_of_items(first bigint, last bigint)
RETURNS TABLE (order_id bigint, line int, product_id bigint, taken bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
	IF first = 0 THEN
		RETURN QUERY
			SELECT i.order_id, i.line, e.product_id, -e.delta
			FROM commerce.stock_entries e JOIN commerce.order_items i ON i.id = e.order_item_id;
	ELSE
		-- an entry is of the transaction of an event, and there is an index for a product's
		RETURN QUERY
			SELECT i.order_id, i.line, e.product_id, -e.delta
			FROM (SELECT DISTINCT t.id, t.order_id, t.line, t.product_id, h.xid
				  FROM commerce.order_items t JOIN commerce.order_item_events h ON h.order_item_id = t.id
				  WHERE t.order_id BETWEEN first AND last) i
			JOIN commerce.stock_entries e ON e.product_id = i.product_id AND e.xid = i.xid AND e.order_item_id = i.id;
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.entries_of_items(bigint, bigint) IS
	'units that went out for the lines of orders: of all (first is 0), or of a range of ids those of the products that were ordered';

CREATE FUNCTION commerce_private.entries_of_orders(first bigint, last bigint)
RETURNS TABLE (order_id bigint, amount bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
	-- of a few orders by their users; of archived ones the entries may be folded
	RETURN QUERY
		SELECT e.order_id, e.amount FROM commerce.balance_entries e
		JOIN commerce.orders o ON o.id = e.order_id
		WHERE o.id BETWEEN first AND last AND e.user_id = o.user_id
		UNION ALL
		SELECT e.order_id, e.amount FROM commerce.balance_entries e
		WHERE first = 0 AND e.order_id IS NOT NULL
		  AND NOT EXISTS (SELECT FROM commerce.orders o WHERE o.id = e.order_id AND o.user_id = e.user_id)
		  AND NOT EXISTS (SELECT FROM commerce_private.archived a WHERE a.order_id = e.order_id);
END
$$;
COMMENT ON FUNCTION commerce_private.entries_of_orders(bigint, bigint) IS
	'the balance entries of orders that are not archived, of a range of ids; of all (first is 0) also those that are of no order, or of another user''s';

CREATE FUNCTION commerce_private.check_orders(first bigint, last bigint)
RETURNS TABLE (invariant text, violations bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
	cell CONSTANT int := (SELECT c.number FROM commerce_private.cell c);
BEGIN
	RETURN QUERY
		-- What is out beside what the buyers have came back and was not restocked, or was lost. Of archived orders the
		-- entries are folded.
		SELECT 'stock went out for the units of an order',
			(SELECT count(*) FROM
			 (SELECT l.order_id, l.line, gone.units AS gone,
					 bool_or(p.present > p.taken OR p.taken > p.present + gone.units) AS off,
					 coalesce(sum(p.taken - p.present), 0) AS beside
			  FROM (SELECT i.order_id, i.line FROM commerce.order_items i JOIN commerce.orders o ON o.id = i.order_id
					WHERE i.order_id BETWEEN first AND last AND NOT o.imported
					  -- nor, but of the whole, one of which something was exchanged: entries of a product that came between are not found
					  AND (first = 0 OR NOT EXISTS (SELECT FROM commerce.order_items x JOIN commerce.order_item_events e ON e.order_item_id = x.id
													WHERE x.order_id = i.order_id AND x.line = i.line AND e.event = 'EXCHANGED'))
					GROUP BY 1, 2) l
			  CROSS JOIN LATERAL
				(SELECT coalesce(sum(e.quantity), 0) AS units
				 FROM commerce.order_items i JOIN commerce.order_item_events e ON e.order_item_id = i.id
				 WHERE i.order_id = l.order_id AND i.line = l.line
				   AND (e.event = 'RETURNED' AND e.restocked IS NOT TRUE OR e.event = 'EXCHANGED' AND NOT e.restocked)) gone
			  LEFT JOIN
				(SELECT u.order_id, u.line, u.product_id, sum(u.present) AS present, sum(u.taken) AS taken
				 FROM (SELECT i.order_id, i.line, coalesce(i.replacement_product_id, i.product_id) AS product_id,
							  CASE WHEN i.status IN ('CANCELLED', 'RETURNED') THEN 0 ELSE i.quantity END AS present, 0::bigint AS taken
					   FROM commerce.order_items i WHERE i.order_id BETWEEN first AND last
					   UNION ALL
					   SELECT e.order_id, e.line, e.product_id, 0, e.taken FROM commerce_private.entries_of_items(first, last) e) u
				 GROUP BY 1, 2, 3) p ON p.order_id = l.order_id AND p.line = l.line
			  GROUP BY 1, 2, 3) o
			 WHERE o.off OR o.beside <> o.gone)
		UNION ALL SELECT 'rows of a line add up to what was ordered',
			(SELECT count(*) FROM commerce_private.all_order_items i
			 LEFT JOIN (SELECT p.split_from, sum(p.quantity + p.split_quantity) AS units,
							   sum(p.line_total - p.order_discount_share + p.split_net) AS net,
							   bool_and((p.order_id, p.line) = (w.order_id, w.line)) AS same
						FROM commerce_private.all_order_items p JOIN commerce_private.all_order_items w ON w.id = p.split_from AND w.month = p.month
						WHERE p.order_id BETWEEN first AND last GROUP BY 1) p ON p.split_from = i.id
			 WHERE i.order_id BETWEEN first AND last
			   AND ((i.split_quantity, i.split_net) IS DISTINCT FROM (coalesce(p.units, 0), coalesce(p.net, 0)) OR NOT p.same))
		UNION ALL SELECT 'payment amount follows from the totals',
			(SELECT count(*) FROM commerce_private.all_orders o
			 WHERE o.id BETWEEN first AND last AND o.payment_amount <> o.items_total - o.item_discount_total - o.order_discount + o.shipping_total)
		UNION ALL SELECT 'what is tax-free is what the tax-exempt items cost',
			(SELECT count(*) FROM commerce_private.all_orders o
			 LEFT JOIN (SELECT i.order_id, sum(i.line_total - i.order_discount_share) AS net FROM commerce_private.all_order_items i
						WHERE i.order_id BETWEEN first AND last AND i.tax_exempt GROUP BY 1) i ON i.order_id = o.id
			 WHERE o.id BETWEEN first AND last AND o.tax_free_amount <> coalesce(i.net, 0))
		UNION ALL SELECT 'what is kept back of an item is not above what it cost',
			(SELECT count(*) FROM commerce_private.all_order_items i
			 WHERE i.order_id BETWEEN first AND last AND i.deduction NOT BETWEEN 0 AND CASE i.status WHEN 'RETURNED' THEN i.line_total - i.order_discount_share ELSE 0 END)
		UNION ALL SELECT 'items add up to their order',
			(SELECT count(*) FROM commerce_private.all_orders o
			 LEFT JOIN (SELECT i.order_id, sum(i.unit_price * i.quantity) AS items_total,
							   sum(i.unit_discount * i.quantity) AS item_discount_total,
							   sum(i.order_discount_share) AS order_discount,
							   sum(i.shipping_discount) AS shipping_discount,
							   sum(i.shipping_fee - i.shipping_discount) AS shipping_total
						FROM commerce_private.all_order_items i WHERE i.order_id BETWEEN first AND last GROUP BY 1) i ON i.order_id = o.id
			 WHERE o.id BETWEEN first AND last
			   AND (o.items_total, o.item_discount_total, o.order_discount, o.shipping_discount, o.shipping_total)
				   IS DISTINCT FROM
				   (i.items_total, i.item_discount_total, i.order_discount, i.shipping_discount, i.shipping_total))
		UNION ALL SELECT 'payments are what the order says was paid',
			(SELECT count(*) FROM commerce_private.all_orders o
			 LEFT JOIN (SELECT p.order_id,
							   coalesce(sum(p.amount) FILTER (WHERE p.status = 'COMPLETED'), 0) AS paid,
							   coalesce(sum(p.amount) FILTER (WHERE p.status = 'COMPLETED' AND p.method = 'BALANCE'), 0) AS part,
							   coalesce(sum(p.amount) FILTER (WHERE p.status = 'REQUESTED'), 0) AS requested,
							   count(*) FILTER (WHERE p.status = 'COMPLETED' AND p.method = 'BALANCE') AS from_balance,
							   count(*) FILTER (WHERE p.status = 'COMPLETED' AND p.method = 'EXTERNAL') AS from_provider,
							   count(*) FILTER (WHERE p.status = 'REQUESTED' AND p.method = 'EXTERNAL') AS requests
						FROM commerce_private.all_payments p WHERE p.order_id BETWEEN first AND last AND p.kind = 'PAYMENT' GROUP BY 1) p ON p.order_id = o.id
			 WHERE o.id BETWEEN first AND last
			   AND CASE WHEN o.paid_at IS NOT NULL
						THEN p.paid = o.payment_amount AND p.from_balance <= 1 AND p.from_provider <= 1
							 AND p.from_balance + p.from_provider > 0 AND p.requests = 0
						WHEN o.status = 'PENDING_PAYMENT'
						THEN p.paid = p.part AND p.from_balance <= 1 AND p.requests = 1 AND p.part + p.requested = o.payment_amount
						-- nothing, or a late success that was refused
						ELSE p.from_balance = 0 AND p.from_provider <= 1 AND p.requests = 0 END IS NOT TRUE)
		UNION ALL SELECT 'a late success that was refused is refunded, or its refund failed',
			(SELECT count(*) FROM commerce_private.all_payments p
			 JOIN commerce_private.all_orders o ON o.id = p.order_id AND o.month = p.month
			 WHERE p.order_id BETWEEN first AND last AND p.kind = 'PAYMENT' AND p.status = 'COMPLETED' AND o.paid_at IS NULL AND o.status <> 'PENDING_PAYMENT'
			   AND p.amount <> (SELECT coalesce(sum(r.amount), 0) FROM commerce_private.all_payments r
								WHERE r.refund_of = p.id AND r.month = p.month AND r.status IN ('REQUESTED', 'COMPLETED'))
			   AND NOT EXISTS (SELECT FROM commerce_private.all_payments r WHERE r.refund_of = p.id AND r.month = p.month AND r.status = 'FAILED'))
		UNION ALL SELECT 'refunds are what the order says was refunded',
			(SELECT count(*) FROM commerce_private.all_orders o
			 LEFT JOIN (SELECT r.order_id, sum(r.amount) AS refunded
						FROM commerce_private.all_payments r JOIN commerce_private.all_payments p ON p.id = r.refund_of AND p.month = r.month
						WHERE r.order_id BETWEEN first AND last AND r.kind = 'REFUND' AND r.status IN ('REQUESTED', 'COMPLETED') AND p.status = 'COMPLETED'
						GROUP BY 1) p ON p.order_id = o.id
			 WHERE o.id BETWEEN first AND last AND (o.refunded_amount <> coalesce(p.refunded, 0) OR o.refunded_amount > o.payment_amount))
		UNION ALL SELECT 'what is tax-free of the payments is what is tax-free of the order',
			(SELECT count(*) FROM commerce_private.all_orders o
			 LEFT JOIN (SELECT p.order_id, sum(p.tax_free_amount) FILTER (WHERE p.status IN ('COMPLETED', 'REQUESTED')) AS tax_free,
							   bool_or((p.tax_free_amount IS NULL) <> (p.status = 'UNEXPECTED')) AS off
						FROM commerce_private.all_payments p WHERE p.order_id BETWEEN first AND last AND p.kind = 'PAYMENT' GROUP BY 1) p ON p.order_id = o.id
			 WHERE o.id BETWEEN first AND last
			   AND (p.off OR (o.paid_at IS NOT NULL OR o.status = 'PENDING_PAYMENT') AND p.tax_free IS DISTINCT FROM o.tax_free_amount))
		UNION ALL SELECT 'balance payments and refunds are in the balance entries',
			(SELECT count(*) FROM
			 (SELECT p.order_id, sum(CASE p.kind WHEN 'PAYMENT' THEN -p.amount ELSE p.amount END) AS amount
			  FROM commerce.payments p WHERE p.order_id BETWEEN first AND last AND p.method = 'BALANCE' AND p.status = 'COMPLETED' GROUP BY 1) p
			 FULL JOIN (SELECT e.order_id, sum(e.amount) AS amount FROM commerce_private.entries_of_orders(first, last) e GROUP BY 1) e ON e.order_id = p.order_id
			 WHERE coalesce(p.amount, 0) <> coalesce(e.amount, 0))
		UNION ALL SELECT 'order status agrees with its items',
			(SELECT count(*) FROM commerce_private.all_orders o
			 LEFT JOIN (SELECT i.order_id, count(*) AS items,
							   count(*) FILTER (WHERE i.status = 'PENDING_PAYMENT') AS pending,
							   count(*) FILTER (WHERE i.status = 'CANCELLED') AS cancelled,
							   count(*) FILTER (WHERE i.status IN ('CANCELLED', 'RETURNED')) AS gone,
							   count(*) FILTER (WHERE i.status IN ('DELIVERED', 'CONFIRMED', 'EXCHANGED')) AS done
						FROM commerce_private.all_order_items i WHERE i.order_id BETWEEN first AND last GROUP BY 1) i ON i.order_id = o.id
			 WHERE o.id BETWEEN first AND last AND o.status IS DISTINCT FROM
				   CASE WHEN i.items IS NULL THEN NULL
						WHEN i.pending = i.items THEN 'PENDING_PAYMENT'
						WHEN i.gone = i.items AND o.paid_at IS NULL THEN 'CANCELLED'
						WHEN i.gone = i.items THEN 'REFUNDED'
						WHEN i.gone + i.done = i.items THEN 'COMPLETED'
						WHEN i.gone > 0 THEN 'PARTIALLY_CANCELLED'
						ELSE 'PAID' END::commerce.order_status)
		UNION ALL SELECT 'a parcel''s items are of its order and seller',
			(SELECT count(*) FROM commerce_private.all_order_items i JOIN commerce_private.all_shipments s ON s.id = i.shipment_id AND s.month = i.month
			 WHERE i.order_id BETWEEN first AND last AND (i.order_id, i.seller_id) IS DISTINCT FROM (s.order_id, s.seller_id))
		UNION ALL SELECT 'an item''s status is its last event',
			(SELECT count(*) FROM commerce_private.all_order_items i
			 LEFT JOIN (SELECT DISTINCT ON (e.order_item_id) e.order_item_id, e.event
						FROM commerce_private.all_order_item_events e
						JOIN commerce_private.all_order_items t ON t.id = e.order_item_id AND t.month = e.month AND t.order_id BETWEEN first AND last
						ORDER BY e.order_item_id, e.ordinal DESC) e ON e.order_item_id = i.id
			 WHERE i.order_id BETWEEN first AND last AND i.status IS DISTINCT FROM e.event)
		UNION ALL SELECT 'an order, its items and shipments are of this cell',
			(SELECT count(*) FROM commerce_private.all_orders o WHERE o.id BETWEEN first AND last AND commerce.cell_of(o.id) <> cell)
			+ (SELECT count(*) FROM commerce_private.all_order_items i
			   WHERE i.order_id BETWEEN first AND last AND (commerce.cell_of(i.id) <> cell OR commerce.cell_of(i.shipment_id) <> cell));
END
$$;
COMMENT ON FUNCTION commerce_private.check_orders(bigint, bigint) IS
	'the invariants of orders, of a range of ids, with how many rows break each';

CREATE FUNCTION commerce_private.check_payments(first bigint, last bigint)
RETURNS TABLE (invariant text, violations bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
	cell CONSTANT int := (SELECT c.number FROM commerce_private.cell c);
BEGIN
	RETURN QUERY
		SELECT 'refunds go back to the payment that they name, and are at most its amount',
			(SELECT count(*) FROM commerce_private.all_payments p
			 JOIN (SELECT r.refund_of, sum(r.amount) FILTER (WHERE r.status IN ('REQUESTED', 'COMPLETED')) AS refunded,
						  count(*) FILTER (WHERE r.status IN ('REQUESTED', 'COMPLETED')) AS refunds
				   FROM commerce_private.all_payments r WHERE r.refund_of BETWEEN first AND last AND r.kind = 'REFUND' GROUP BY 1) r ON r.refund_of = p.id
			 WHERE p.id BETWEEN first AND last
			   AND (p.status NOT IN ('COMPLETED', 'UNEXPECTED') OR p.kind = 'REFUND'
				OR r.refunded > p.amount
				OR p.status = 'UNEXPECTED' AND (r.refunds > 1 OR r.refunded <> p.amount)
				OR EXISTS (SELECT FROM commerce_private.all_payments r
						   WHERE r.refund_of = p.id AND r.month = p.month AND r.kind = 'REFUND'
							 AND (r.order_id, r.user_id, r.method) IS DISTINCT FROM (p.order_id, p.user_id, p.method))))
		UNION ALL SELECT 'refunds have no more of the tax-free or taxed part of a payment than it had',
			(SELECT count(*) FROM commerce_private.all_payments p
			 JOIN (SELECT r.refund_of, count(r.tax_free_amount) AS told, count(*) AS refunds,
						  coalesce(sum(r.amount) FILTER (WHERE r.status IN ('REQUESTED', 'COMPLETED')), 0) AS amount,
						  coalesce(sum(r.tax_free_amount) FILTER (WHERE r.status IN ('REQUESTED', 'COMPLETED')), 0) AS tax_free
				   FROM commerce_private.all_payments r WHERE r.refund_of BETWEEN first AND last AND r.kind = 'REFUND' GROUP BY 1) r ON r.refund_of = p.id
			 WHERE p.id BETWEEN first AND last
			   AND (r.tax_free > p.tax_free_amount OR r.amount - r.tax_free > p.amount - p.tax_free_amount
				OR r.told <> CASE WHEN p.tax_free_amount IS NULL THEN 0 ELSE r.refunds END))
		UNION ALL SELECT 'a payment is of this cell',
			(SELECT count(*) FROM commerce_private.all_payments p WHERE p.id BETWEEN first AND last AND commerce.cell_of(p.id) <> cell);
END
$$;
COMMENT ON FUNCTION commerce_private.check_payments(bigint, bigint) IS
	'the invariants of payments and what was refunded of them, of a range of ids, with how many rows break each';

CREATE FUNCTION commerce.check_invariants()
RETURNS TABLE (invariant text, violations bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	most CONSTANT bigint := 9223372036854775807;
BEGIN
	RETURN QUERY
		SELECT c.invariant, c.violations
		FROM (SELECT * FROM commerce_private.check_users(0, most)
			  UNION ALL SELECT * FROM commerce_private.check_products(0, most)
			  UNION ALL SELECT * FROM commerce_private.check_coupons(0, most)
			  UNION ALL SELECT * FROM commerce_private.check_coupon_issues(0, most)
			  UNION ALL SELECT * FROM commerce_private.check_orders(0, most)
			  UNION ALL SELECT * FROM commerce_private.check_payments(0, most)) c
		WHERE c.violations > 0;
END
$$;
COMMENT ON FUNCTION commerce.check_invariants() IS
	'proves the books, with the archive, in one statement: returns each invariant that does not hold with how many rows break it; empty when all is well';

-- sql/install/shop/scrub.sql

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

-- sql/install/shop/shipment.sql

-- Parcels.

CREATE TABLE commerce.shipments (
	id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	seller_id       bigint REFERENCES commerce.sellers,
	order_id        bigint NOT NULL REFERENCES commerce.orders,
	carrier         text,
	tracking_number text,
	at              timestamptz NOT NULL DEFAULT pg_catalog.now()
);
-- with all that is shown: else a seller with few would be sought in everybody's
CREATE INDEX shipments_seller_id_idx ON commerce.shipments (seller_id, id) INCLUDE (order_id, carrier, tracking_number, at)
	WHERE seller_id IS NOT NULL;
CREATE INDEX shipments_order_id_idx ON commerce.shipments (order_id);
CREATE INDEX shipments_tracking_number_idx ON commerce.shipments (tracking_number) WHERE tracking_number IS NOT NULL;
COMMENT ON TABLE commerce.shipments IS 'parcels: items of one order and one seller that were dispatched together';
COMMENT ON COLUMN commerce.shipments.seller_id IS 'NULL: the shop itself';
COMMENT ON COLUMN commerce.shipments.at IS 'when it was dispatched';
SELECT pg_catalog.pg_extension_config_dump('commerce.shipments', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.shipments_id_seq', '');
ALTER TABLE commerce.order_items
	ADD CONSTRAINT order_items_shipment_id_fkey FOREIGN KEY (shipment_id) REFERENCES commerce.shipments;
CREATE INDEX order_items_shipment_id_idx ON commerce.order_items (shipment_id) WHERE shipment_id IS NOT NULL;

CREATE FUNCTION commerce.dispatch_items(
	order_item_ids bigint[], carrier text DEFAULT NULL, tracking_number text DEFAULT NULL, quantities bigint[] DEFAULT NULL,
	actor commerce.actor_kind DEFAULT 'SELLER', actor_id bigint DEFAULT NULL, idempotency_key text DEFAULT NULL)
RETURNS commerce.shipments
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_dispatch_items';
COMMENT ON FUNCTION commerce.dispatch_items(bigint[], text, text, bigint[], commerce.actor_kind, bigint, text) IS
	'sends items of one order and one seller as one parcel and returns it: PREPARING ones become DISPATCHED; an EXCHANGED one, or one that was exchanged and is DELIVERED again, names the parcel of its replacement. quantities: as long as the ids; a smaller number is split off. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, INVALID_STATE_TRANSITION, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.change_shipment_status(
	shipment_id bigint, new_status commerce.order_item_status, actor commerce.actor_kind DEFAULT 'SELLER',
	actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS int
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_change_shipment_status';
COMMENT ON FUNCTION commerce.change_shipment_status(bigint, commerce.order_item_status, commerce.actor_kind, bigint, text) IS
	'takes all items of a parcel that can go there to IN_TRANSIT, to DELIVERED (through IN_TRANSIT), or back to PREPARING (the parcel loses them), and returns how many; 0 when none can, so that a carrier''s message may come twice. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, INVALID_STATE_TRANSITION';

CREATE FUNCTION commerce.update_shipment(
	shipment_id bigint, carrier text DEFAULT NULL, tracking_number text DEFAULT NULL,
	actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.shipments
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_update_shipment';
COMMENT ON FUNCTION commerce.update_shipment(bigint, text, text, bigint, text) IS
	'corrects carrier or tracking number of a parcel and returns it; NULL leaves as it is. actor_id: an active ADMIN, or the user of the parcel''s seller. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN';

CREATE FUNCTION commerce.update_delivery(
	order_id bigint, delivery jsonb, actor commerce.actor_kind, actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.orders
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_update_delivery';
COMMENT ON FUNCTION commerce.update_delivery(bigint, jsonb, commerce.actor_kind, bigint, text) IS
	'changes the recipient of an order (name, phone, address, memo; what is not given stays) while something is left to send and nothing is dispatched, and returns the order. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, INVALID_STATE_TRANSITION';

-- sql/install/shop/archive.sql

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

-- sql/install/shop/fulfilment.sql

-- Fulfilment: what can happen to the items of an order, and by whom.

CREATE TABLE commerce.order_item_transitions (
	from_status commerce.order_item_status NOT NULL,
	to_status   commerce.order_item_status NOT NULL,
	actor       commerce.actor_kind NOT NULL,
	whole_order boolean NOT NULL DEFAULT false,
	PRIMARY KEY (from_status, to_status, actor)
);
COMMENT ON TABLE commerce.order_item_transitions IS
	'every step that an order item can take, and who may make it; what is not here is INVALID_STATE_TRANSITION. Part of the extension, as its code is: not in a dump';
COMMENT ON COLUMN commerce.order_item_transitions.actor IS 'BUYER and SELLER: of their own items only';
COMMENT ON COLUMN commerce.order_item_transitions.whole_order IS
	'made for all items of an order together, by place_order(), confirm_payment(), retry_payment(), expire_pending_orders() or cancel_order(); never by change_item_status()';

INSERT INTO commerce.order_item_transitions (from_status, to_status, actor, whole_order)
SELECT s.from_status::commerce.order_item_status, s.to_status::commerce.order_item_status, a.actor, s.whole_order
FROM (VALUES
	-- payment
	('PENDING_PAYMENT',     'PAID',                '{SYSTEM}',                    true),
	('PENDING_PAYMENT',     'CANCELLED',           '{BUYER,ADMIN,SYSTEM}',        true),
	('CANCELLED',           'PAID',                '{SYSTEM}',                    true), -- a late success
	('CANCELLED',           'PENDING_PAYMENT',     '{SYSTEM}',                    true), -- paid anew
	-- delivery
	('PAID',                'PREPARING',           '{SELLER,ADMIN,SYSTEM}',       false),
	('PREPARING',           'DISPATCHED',          '{SELLER,ADMIN}',              false),
	('DISPATCHED',          'PREPARING',           '{SELLER,ADMIN}',              false), -- by mistake
	('DISPATCHED',          'IN_TRANSIT',          '{SELLER,ADMIN,SYSTEM}',       false),
	('IN_TRANSIT',          'DELIVERED',           '{SELLER,ADMIN,SYSTEM}',       false),
	('DELIVERED',           'CONFIRMED',           '{BUYER,ADMIN,SYSTEM}',        false),
	-- cancelling, before dispatch
	('PAID',                'CANCELLED',           '{BUYER,SELLER,ADMIN,SYSTEM}', false),
	('PREPARING',           'CANCELLED',           '{BUYER,SELLER,ADMIN,SYSTEM}', false),
	('PREPARING',           'CANCEL_REQUESTED',    '{BUYER,ADMIN}',               false),
	('CANCEL_REQUESTED',    'PREPARING',           '{BUYER,SELLER,ADMIN}',        false), -- withdrawn or refused
	('CANCEL_REQUESTED',    'CANCEL_PROCESSING',   '{SELLER,ADMIN}',              false),
	('CANCEL_PROCESSING',   'CANCELLED',           '{SELLER,ADMIN,SYSTEM}',       false),
	('CANCEL_REQUESTED',    'CANCELLED',           '{BUYER,SELLER,ADMIN,SYSTEM}', true), -- with all the others
	('CANCEL_PROCESSING',   'CANCELLED',           '{BUYER}',                     true),
	-- lost on the way, or back at its sender
	('DISPATCHED',          'RETURNED',            '{SELLER,ADMIN}',              false),
	('IN_TRANSIT',          'RETURNED',            '{SELLER,ADMIN}',              false),
	-- return, after delivery
	('DELIVERED',           'RETURN_REQUESTED',    '{BUYER,ADMIN}',               false),
	('RETURN_REQUESTED',    'DELIVERED',           '{BUYER,SELLER,ADMIN}',        false), -- withdrawn or refused
	('RETURN_REQUESTED',    'RETURN_PROCESSING',   '{SELLER,ADMIN}',              false),
	('RETURN_PROCESSING',   'DELIVERED',           '{SELLER,ADMIN}',              false), -- what came back is not accepted
	('RETURN_PROCESSING',   'RETURNED',            '{SELLER,ADMIN,SYSTEM}',       false),
	-- exchange, after delivery
	('DELIVERED',           'EXCHANGE_REQUESTED',  '{BUYER,ADMIN}',               false),
	('EXCHANGE_REQUESTED',  'DELIVERED',           '{BUYER,SELLER,ADMIN}',        false), -- withdrawn or refused
	('EXCHANGE_REQUESTED',  'EXCHANGE_PROCESSING', '{SELLER,ADMIN}',              false),
	('EXCHANGE_PROCESSING', 'DELIVERED',           '{SELLER,ADMIN}',              false), -- what came back is not accepted
	('EXCHANGE_PROCESSING', 'EXCHANGED',           '{SELLER,ADMIN,SYSTEM}',       false),
	-- after an exchange, as after delivery
	('EXCHANGED',           'CONFIRMED',           '{BUYER,ADMIN,SYSTEM}',        false),
	('EXCHANGED',           'RETURN_REQUESTED',    '{BUYER,ADMIN}',               false),
	('EXCHANGED',           'EXCHANGE_REQUESTED',  '{BUYER,ADMIN}',               false),
	-- a hidden defect
	('CONFIRMED',           'RETURN_REQUESTED',    '{ADMIN}',                     false),
	('CONFIRMED',           'EXCHANGE_REQUESTED',  '{ADMIN}',                     false)
) AS s (from_status, to_status, actors, whole_order)
CROSS JOIN LATERAL pg_catalog.unnest(s.actors::commerce.actor_kind[]) AS a (actor);

CREATE FUNCTION commerce.change_item_status(
	order_item_id bigint, new_status commerce.order_item_status, actor commerce.actor_kind,
	actor_id bigint DEFAULT NULL, note text DEFAULT NULL, quantity bigint DEFAULT NULL, idempotency_key text DEFAULT NULL)
RETURNS commerce.order_items
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_change_item_status';
COMMENT ON FUNCTION commerce.change_item_status(bigint, commerce.order_item_status, commerce.actor_kind, bigint, text, bigint, text) IS
	'takes an order item to a status that commerce.order_item_transitions allows the actor, with the refund, stock and coupons that come back, and returns the item; quantity: only so many units, which are split off as an item of their own. To RETURNED and EXCHANGED it is complete_return() and complete_exchange() with their defaults. actor_id: the user id of the buyer or administrator, or the seller''s id; NULL: a trusted caller. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, INVALID_STATE_TRANSITION, STOCK_NOT_ENOUGH, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.complete_return(
	order_item_id bigint, restock boolean DEFAULT true, deduction bigint DEFAULT 0, quantity bigint DEFAULT NULL,
	actor commerce.actor_kind DEFAULT 'SELLER', actor_id bigint DEFAULT NULL, note text DEFAULT NULL,
	idempotency_key text DEFAULT NULL)
RETURNS commerce.orders
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_complete_return';
COMMENT ON FUNCTION commerce.complete_return(bigint, boolean, bigint, bigint, commerce.actor_kind, bigint, text, text) IS
	'takes what came back, or quantity of it, and refunds its net less a deduction, such as a return fee; restock false: broken or lost, nothing goes into stock. From DISPATCHED and IN_TRANSIT too: a parcel that was lost, or is back at its sender, which counts as a cancel for shipping and coupons. Returns the order. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, INVALID_STATE_TRANSITION, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.complete_exchange(
	order_item_id bigint, restock boolean DEFAULT true, replacement_product_id bigint DEFAULT NULL, quantity bigint DEFAULT NULL,
	actor commerce.actor_kind DEFAULT 'SELLER', actor_id bigint DEFAULT NULL, note text DEFAULT NULL,
	idempotency_key text DEFAULT NULL)
RETURNS commerce.order_items
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_complete_exchange';
COMMENT ON FUNCTION commerce.complete_exchange(bigint, boolean, bigint, bigint, commerce.actor_kind, bigint, text, text) IS
	'takes what came back, or quantity of it, and sends a replacement out of the stock: of the same product, or another one of the same seller that is on sale at the same price; no money moves. Returns the item. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, INVALID_STATE_TRANSITION, PRODUCT_NOT_ON_SALE, PURCHASE_LIMIT_EXCEEDED, STOCK_NOT_ENOUGH, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.cancel_order(
	order_id bigint, actor commerce.actor_kind, actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.orders
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_cancel_order';
COMMENT ON FUNCTION commerce.cancel_order(bigint, commerce.actor_kind, bigint, text) IS
	'cancels all that is left of an order, before anything of it is dispatched, refunds it and returns the order. actor_id: the buyer''s user id, or the id of the seller of all its items; NULL: a trusted caller. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, INVALID_STATE_TRANSITION';

CREATE FUNCTION commerce.cancel_order_item(
	order_item_id bigint, quantity bigint, actor commerce.actor_kind,
	actor_id bigint DEFAULT NULL, note text DEFAULT NULL, idempotency_key text DEFAULT NULL)
RETURNS commerce.orders
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_cancel_order_item';
COMMENT ON FUNCTION commerce.cancel_order_item(bigint, bigint, commerce.actor_kind, bigint, text, text) IS
	'cancels units of an order item before dispatch, refunds them and returns the order; of an order whose payment is pending nothing can be cancelled but the whole. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, INVALID_STATE_TRANSITION, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.confirm_delivered_items(max_rows int DEFAULT 1000)
RETURNS int
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_confirm_delivered_items';
COMMENT ON FUNCTION commerce.confirm_delivered_items(int) IS
	'confirms, in the buyers'' place, the items of at most max_rows orders that were delivered longer than commerce.auto_confirm_after ago, and returns how many items; orders that somebody is working on are left for the next time, and so is, with a warning, one that cannot be confirmed. Errors: INVALID_REQUEST';

INSERT INTO commerce_private.jobs (name, schedule, function, max_rows, purpose) VALUES
	('confirm-delivered-items', '* * * * *', 'confirm_delivered_items', 1000, 'confirms items in the buyers'' place some days after their delivery');

-- sql/install/shop/privacy.sql

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

-- sql/install/shop/conversion.sql

-- Conversion: how many order sheets become paid orders, and an alert when too few do.

CREATE VIEW commerce.order_sheet_outcomes AS
	SELECT s.id, s.user_id, s.created_at, s.consumed_order_id AS order_id,
		   o.paid_at IS NOT NULL AS paid,
		   -- what becomes of the sheet is settled: its order is paid or given up, or no order can be made of it
		   CASE WHEN o.id IS NULL THEN s.expires_at <= pg_catalog.statement_timestamp()
				ELSE o.status <> 'PENDING_PAYMENT' END AS matured
	FROM commerce.order_sheets s LEFT JOIN commerce.orders o ON o.id = s.consumed_order_id;
COMMENT ON VIEW commerce.order_sheet_outcomes IS 'order sheets of the last 30 days and whether they became paid orders; matured: it is settled whether they do';

CREATE VIEW commerce.conversion_by_minute AS
	SELECT pg_catalog.date_trunc('minute', s.created_at) AS minute, count(*) AS sheets,
		   count(*) FILTER (WHERE s.matured) AS matured, count(*) FILTER (WHERE s.paid) AS paid,
		   pg_catalog.round(100.0 * count(*) FILTER (WHERE s.paid) / nullif(count(*) FILTER (WHERE s.matured), 0), 2) AS percent
	FROM commerce.order_sheet_outcomes s GROUP BY 1;
COMMENT ON VIEW commerce.conversion_by_minute IS 'order sheets by the minute in which they were made, and how many became paid orders; percent: of the matured ones';

CREATE VIEW commerce.conversion_by_hour AS
	SELECT pg_catalog.date_trunc('hour', s.created_at) AS hour, count(*) AS sheets,
		   count(*) FILTER (WHERE s.matured) AS matured, count(*) FILTER (WHERE s.paid) AS paid,
		   pg_catalog.round(100.0 * count(*) FILTER (WHERE s.paid) / nullif(count(*) FILTER (WHERE s.matured), 0), 2) AS percent
	FROM commerce.order_sheet_outcomes s GROUP BY 1;
COMMENT ON VIEW commerce.conversion_by_hour IS 'order sheets by the hour in which they were made, and how many became paid orders; percent: of the matured ones';

CREATE TABLE commerce_private.conversion_windows (
	starts_at timestamptz PRIMARY KEY,
	ends_at   timestamptz NOT NULL,
	sheets    bigint NOT NULL,
	paid      bigint NOT NULL,
	usual     numeric(5, 2),
	threshold numeric(5, 2) NOT NULL,
	verdict   text NOT NULL CHECK (verdict IN ('GOOD', 'BAD', 'TOO_FEW')),
	alerting  boolean NOT NULL,
	event_key bigint NOT NULL,
	CONSTRAINT conversion_windows_ends_at_check CHECK (starts_at < ends_at),
	CONSTRAINT conversion_windows_paid_check CHECK (paid BETWEEN 0 AND sheets)
);
COMMENT ON TABLE commerce_private.conversion_windows IS 'the windows that check_conversion() has judged in the last 30 days; the alert is on when the last one says so';
COMMENT ON COLUMN commerce_private.conversion_windows.sheets IS 'matured order sheets made in the window';
COMMENT ON COLUMN commerce_private.conversion_windows.paid IS 'how many of them became paid orders';
COMMENT ON COLUMN commerce_private.conversion_windows.usual IS 'percent that became paid orders in the same hour of the 7 days before; NULL: too few to say';
COMMENT ON COLUMN commerce_private.conversion_windows.threshold IS 'percent: the larger of commerce.conversion_floor and 60 % of usual';
COMMENT ON COLUMN commerce_private.conversion_windows.verdict IS 'BAD: below the threshold; TOO_FEW: fewer than 50 sheets say nothing';
COMMENT ON COLUMN commerce_private.conversion_windows.alerting IS 'the alert is on after this window: since two BAD ones in a row, until two GOOD ones in a row';
COMMENT ON COLUMN commerce_private.conversion_windows.event_key IS 'key of the last ConversionAlert';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.conversion_windows', '');

CREATE FUNCTION commerce_private.count_conversion(
	from_time timestamptz, until_time timestamptz, OUT sheets bigint, OUT paid bigint)
RETURNS record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT count(*), count(*) FILTER (WHERE s.paid) FROM commerce.order_sheet_outcomes s
	WHERE s.matured AND s.created_at >= from_time AND s.created_at < until_time
$$;
COMMENT ON FUNCTION commerce_private.count_conversion(timestamptz, timestamptz) IS
	'matured order sheets made from one moment until just before another, and how many were paid';

CREATE FUNCTION commerce_private.usual_conversion(at timestamptz, OUT sheets bigint, OUT paid bigint)
RETURNS record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT sum(c.sheets)::bigint, sum(c.paid)::bigint
	FROM commerce_private.setting('commerce.timezone') AS zone (name)
	CROSS JOIN pg_catalog.generate_series(1, 7) AS days (ago)
	CROSS JOIN LATERAL (SELECT pg_catalog.date_trunc('hour', at AT TIME ZONE zone.name)
							   - pg_catalog.make_interval(days => days.ago) AS starts_at) AS hour
	CROSS JOIN LATERAL commerce_private.count_conversion(hour.starts_at AT TIME ZONE zone.name,
												 (hour.starts_at + interval '1 hour') AT TIME ZONE zone.name) AS c
$$;
COMMENT ON FUNCTION commerce_private.usual_conversion(timestamptz) IS
	'conversion in the same hour (in commerce.timezone) of the 7 days before a moment''s day';

CREATE FUNCTION commerce_private.judge_window(window_start timestamptz, window_end timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
	enough CONSTANT int := 50;
	former commerce_private.conversion_windows;
	judged commerce_private.conversion_windows;
	past record;
	again boolean;
	alert jsonb;
BEGIN
	SELECT * INTO former FROM commerce_private.conversion_windows w ORDER BY w.starts_at DESC LIMIT 1;
	judged.starts_at := judge_window.window_start;
	judged.ends_at := judge_window.window_end;
	SELECT c.sheets, c.paid INTO judged.sheets, judged.paid
	FROM commerce_private.count_conversion(judged.starts_at, judged.ends_at) c;
	SELECT * INTO past FROM commerce_private.usual_conversion(judged.starts_at);
	IF past.sheets >= enough THEN
		judged.usual := 100.0 * past.paid / past.sheets;
	END IF;
	judged.threshold := greatest(commerce_private.setting('commerce.conversion_floor')::numeric,
								 coalesce(0.6 * judged.usual, 0));
	judged.verdict := CASE WHEN judged.sheets < enough THEN 'TOO_FEW'
						   WHEN 100.0 * judged.paid / judged.sheets < judged.threshold THEN 'BAD'
						   ELSE 'GOOD' END;
	again := former.verdict = judged.verdict AND former.ends_at = judged.starts_at;
	judged.alerting := CASE WHEN again AND judged.verdict = 'BAD' THEN true
							WHEN again AND judged.verdict = 'GOOD' THEN false
							ELSE coalesce(former.alerting, false) END;
	judged.event_key := coalesce(former.event_key, 0);

	IF judged.alerting AND NOT former.alerting THEN
		judged.event_key := greatest(judged.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()));
		alert := pg_catalog.jsonb_build_object(
			'starts_at', judged.starts_at, 'ends_at', judged.ends_at, 'sheets', judged.sheets, 'paid', judged.paid,
			'percent', pg_catalog.round(100.0 * judged.paid / judged.sheets, 2),
			'threshold', judged.threshold, 'usual', judged.usual);
		PERFORM commerce_private.write_event('Conversion', 'order_sheets', 'ConversionAlert', alert, judged.event_key);
		-- anybody may listen, and notify: it says nothing but that there is something to look at
		PERFORM pg_catalog.pg_notify('commerce_conversion_alert', '');
	END IF;
	INSERT INTO commerce_private.conversion_windows SELECT judged.*;
END
$$;
COMMENT ON FUNCTION commerce_private.judge_window(timestamptz, timestamptz) IS
	'compares a window''s conversion with the threshold and raises or clears the alert';

CREATE FUNCTION commerce.check_conversion()
RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	length CONSTANT interval := commerce_private.setting('commerce.conversion_window')::interval;
	seconds CONSTANT numeric := extract(epoch FROM length);
	complete_until timestamptz;
	next_start timestamptz;
	judged int := 0;
BEGIN
	PERFORM commerce_private.begin_write();
	LOCK TABLE commerce_private.conversion_windows IN SHARE ROW EXCLUSIVE MODE;
	-- the last window in which no sheet can be used any more
	complete_until := pg_catalog.to_timestamp(seconds * pg_catalog.floor(
		extract(epoch FROM pg_catalog.clock_timestamp() - commerce_private.setting('commerce.sheet_ttl')::interval) / seconds));
	SELECT pg_catalog.to_timestamp(seconds * pg_catalog.ceil(extract(epoch FROM max(w.ends_at)) / seconds)) INTO next_start
	FROM commerce_private.conversion_windows w;
	-- after a pause, what is long past is nobody's alarm
	next_start := greatest(next_start, complete_until - 6 * length);

	WHILE next_start + length <= complete_until LOOP
		PERFORM commerce_private.judge_window(next_start, next_start + length);
		next_start := next_start + length;
		judged := judged + 1;
	END LOOP;
	DELETE FROM commerce_private.conversion_windows w WHERE w.ends_at < pg_catalog.now() - interval '30 days';
	RETURN judged;
END
$$;
COMMENT ON FUNCTION commerce.check_conversion() IS
	'judges the windows of order sheets that have become complete and returns how many; two in a row below the threshold write a ConversionAlert event and notify commerce_conversion_alert, with nothing in the notification, once, until two in a row are above it again';

INSERT INTO commerce_private.jobs (name, schedule, function, purpose) VALUES
	('check-conversion', '* * * * *', 'check_conversion', 'alerts when too few order sheets become paid orders');

-- sql/install/shop/payment_result.sql

-- Payment results that commerce-relay takes from Kafka: those that could not be confirmed are kept here, so that the topic goes on.

CREATE TABLE commerce_private.parked_payment_results (
	id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	about           text,
	message         text NOT NULL,
	origin          text NOT NULL,
	parked_at       timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	attempts        int NOT NULL DEFAULT 0,
	next_attempt_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	last_error      text,
	last_error_at   timestamptz,
	died_at         timestamptz
);
CREATE INDEX parked_payment_results_about_idx ON commerce_private.parked_payment_results (about, id) WHERE died_at IS NULL;
CREATE INDEX parked_payment_results_next_attempt_at_idx ON commerce_private.parked_payment_results (next_attempt_at, id) WHERE died_at IS NULL;
CREATE INDEX parked_payment_results_origin_idx ON commerce_private.parked_payment_results (origin);
COMMENT ON TABLE commerce_private.parked_payment_results IS
	'messages with payment results that could not be confirmed: those that wait for another attempt, those about the same thing behind them, and dead letters';
COMMENT ON COLUMN commerce_private.parked_payment_results.about IS 'order:17, charge:4 or refund:9: messages about one of them keep their order; NULL: it was refused before that was known';
COMMENT ON COLUMN commerce_private.parked_payment_results.message IS 'as it came; one that is no text in UTF-8 with its other bytes as backslash and octal digits';
COMMENT ON COLUMN commerce_private.parked_payment_results.origin IS 'topic/partition/offset';
COMMENT ON COLUMN commerce_private.parked_payment_results.died_at IS 'since when it is a dead letter; NULL: it will be tried again';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.parked_payment_results', '');
SELECT pg_catalog.pg_extension_config_dump('commerce_private.parked_payment_results_id_seq', '');

CREATE FUNCTION commerce_private.payment_result_text(message bytea)
RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN a.sqlstate IS NULL THEN a.result ELSE pg_catalog.encode(payment_result_text.message, 'escape') END
	FROM commerce_private.attempt('{22}', 'pg_catalog.convert_from(bytea,name)', payment_result_text.message, 'UTF8'::name) a
$$;
COMMENT ON FUNCTION commerce_private.payment_result_text(bytea) IS
	'a message as text; one that is no text in UTF-8 with its other bytes as backslash and octal digits, which is never JSON';

CREATE FUNCTION commerce_private.parse_payment_result(message text)
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	parsed jsonb;
BEGIN
	SELECT pg_catalog.jsonb_build_object('kind', n.kind, 'id', n.id::bigint, 'succeeded', (r.result ->> 'succeeded')::boolean,
		'provider_event_id', r.result ->> 'provider_event_id', 'amount', (r.result ->> 'amount')::bigint)
	INTO STRICT parsed
	FROM (SELECT parse_payment_result.message::jsonb AS value) m
	CROSS JOIN LATERAL (SELECT coalesce(m.value -> 'data', m.value) AS result) r
	CROSS JOIN LATERAL (VALUES ('order', r.result ->> 'order_id'), ('charge', r.result ->> 'charge_id'),
							   ('refund', r.result ->> 'refund_id')) AS n (kind, id)
	WHERE n.id IS NOT NULL;
	RETURN parsed;
END
$$;
COMMENT ON FUNCTION commerce_private.parse_payment_result(text) IS 'what read_payment_result() answers, as an object; raises PostgreSQL''s own errors';

CREATE FUNCTION commerce_private.read_payment_result(
	message text, OUT kind text, OUT id bigint, OUT succeeded boolean, OUT provider_event_id text, OUT amount bigint)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	attempted record;
BEGIN
	-- data_exception, program_limit_exceeded, no_data_found, too_many_rows
	SELECT * INTO attempted
	FROM commerce_private.attempt('{22,54,P0002,P0003}', 'commerce_private.parse_payment_result(text)', read_payment_result.message);
	IF attempted.sqlstate IN ('P0002', 'P0003') THEN
		PERFORM commerce_private.raise_invalid('message', 'must have one of order_id, charge_id and refund_id');
	ELSIF attempted.sqlstate IS NOT NULL THEN
		PERFORM commerce_private.raise_invalid('message', 'makes no sense: ' || attempted.message);
	END IF;
	SELECT * INTO read_payment_result.kind, read_payment_result.id, read_payment_result.succeeded,
		 read_payment_result.provider_event_id, read_payment_result.amount
	FROM pg_catalog.jsonb_to_record(attempted.result::jsonb)
		AS r (kind text, id bigint, succeeded boolean, provider_event_id text, amount bigint);
END
$$;
COMMENT ON FUNCTION commerce_private.read_payment_result(text) IS
	'what a message says, which is {"order_id": 1, "succeeded": true, "provider_event_id": "...", "amount": 9000}, or the same with charge_id, or, without amount, with refund_id, or a CloudEvent with that as its data; amount can be missing. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.take_payment_result(message text)
RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	r record;
	status text;
BEGIN
	SELECT * INTO r FROM commerce_private.read_payment_result(take_payment_result.message);
	CASE r.kind
		WHEN 'order' THEN
			SELECT o.status INTO status FROM commerce.confirm_payment(r.id, r.succeeded, r.provider_event_id, r.amount) o;
		WHEN 'charge' THEN
			SELECT p.status INTO status FROM commerce.confirm_charge(r.id, r.succeeded, r.provider_event_id, r.amount) p;
		WHEN 'refund' THEN
			SELECT p.status INTO status FROM commerce.report_refund(r.id, r.succeeded, r.provider_event_id) p;
	END CASE;
	RETURN pg_catalog.format('%s %s is %s', r.kind, r.id, status);
END
$$;
COMMENT ON FUNCTION commerce_private.take_payment_result(text) IS
	'hands what a message says to confirm_payment(), confirm_charge() or report_refund(), and says what became of it. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, INVALID_STATE_TRANSITION';

CREATE FUNCTION commerce_private.receive_payment_result(message bytea, origin text)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	content CONSTANT text := commerce_private.payment_result_text(receive_payment_result.message);
	thing text;
BEGIN
	IF content IS NULL OR receive_payment_result.origin IS NULL THEN
		PERFORM commerce_private.raise_invalid('message', 'must not be null, nor origin');
	END IF;
	SELECT r.kind || ':' || r.id INTO thing FROM commerce_private.read_payment_result(content) r;
	IF EXISTS (SELECT FROM commerce_private.parked_payment_results p WHERE p.about = thing AND p.died_at IS NULL) THEN
		INSERT INTO commerce_private.parked_payment_results (about, message, origin)
		VALUES (thing, content, receive_payment_result.origin);
		RETURN NULL;
	END IF;
	RETURN commerce_private.take_payment_result(content);
END
$$;
COMMENT ON FUNCTION commerce_private.receive_payment_result(bytea, text) IS
	'takes what a message says of an order, a charge or a refund, and says what became of it; NULL: a message about the same thing is parked, and this one now waits behind it. origin: topic/partition/offset. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, INVALID_STATE_TRANSITION';

CREATE FUNCTION commerce_private.park_payment_result(message bytea, origin text, error text, refused boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	content CONSTANT text := commerce_private.payment_result_text(park_payment_result.message);
	thing text;
BEGIN
	IF content IS NULL OR park_payment_result.origin IS NULL OR park_payment_result.refused IS NULL THEN
		PERFORM commerce_private.raise_invalid('message', 'must not be null, nor origin, nor refused');
	END IF;
	-- it comes again when the relay ends before its offset is committed
	IF EXISTS (SELECT FROM commerce_private.parked_payment_results p WHERE p.origin = park_payment_result.origin AND p.message = content) THEN
		RETURN;
	END IF;
	-- one that was refused may say nothing that can be read
	IF NOT park_payment_result.refused THEN
		SELECT r.kind || ':' || r.id INTO thing FROM commerce_private.read_payment_result(content) r;
	END IF;
	INSERT INTO commerce_private.parked_payment_results (about, message, origin, attempts, next_attempt_at, last_error, last_error_at, died_at)
	VALUES (thing, content, park_payment_result.origin, 1, pg_catalog.clock_timestamp() + interval '1 second',
			park_payment_result.error, pg_catalog.clock_timestamp(),
			CASE WHEN park_payment_result.refused THEN pg_catalog.clock_timestamp() END);
END
$$;
COMMENT ON FUNCTION commerce_private.park_payment_result(bytea, text, text, boolean) IS
	'keeps a message that receive_payment_result() has failed on, for another attempt or, when it was refused for what it says, as a dead letter. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.due_payment_result(OUT id bigint, OUT origin text)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE commerce_private.parked_payment_results u
	SET attempts = u.attempts + 1,
		next_attempt_at = pg_catalog.clock_timestamp()
			+ least(interval '10 minutes', interval '1 second' * 2 ^ least(u.attempts, 10))
	FROM (SELECT p.id FROM commerce_private.parked_payment_results p
		  WHERE p.died_at IS NULL AND p.next_attempt_at <= pg_catalog.clock_timestamp()
			AND NOT EXISTS (SELECT FROM commerce_private.parked_payment_results before
							WHERE before.about = p.about AND before.id < p.id AND before.died_at IS NULL)
		  ORDER BY p.next_attempt_at, p.id LIMIT 1 FOR UPDATE SKIP LOCKED) due
	WHERE u.id = due.id
	RETURNING u.id, u.origin
$$;
COMMENT ON FUNCTION commerce_private.due_payment_result() IS
	'the parked message to try now, NULL when there is none. Its next attempt is set at once, twice as far away each time, up to ten minutes: another relay does not try it meanwhile, and one that ends loses nothing';

CREATE FUNCTION commerce_private.retry_payment_result(id bigint)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	content text;
BEGIN
	DELETE FROM commerce_private.parked_payment_results p WHERE p.id = retry_payment_result.id AND p.died_at IS NULL
	RETURNING p.message INTO content;
	IF NOT FOUND THEN
		RETURN NULL;
	END IF;
	RETURN commerce_private.take_payment_result(content);
END
$$;
COMMENT ON FUNCTION commerce_private.retry_payment_result(bigint) IS
	'takes what a parked message says, forgets it, and says what became of it; NULL: another relay has done so. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, INVALID_STATE_TRANSITION';

CREATE FUNCTION commerce_private.fail_payment_result(id bigint, error text, refused boolean, give_up_after interval)
RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE commerce_private.parked_payment_results p
	SET last_error = fail_payment_result.error, last_error_at = pg_catalog.clock_timestamp(),
		died_at = CASE WHEN fail_payment_result.refused
							OR p.parked_at + fail_payment_result.give_up_after <= pg_catalog.clock_timestamp()
					   THEN pg_catalog.clock_timestamp() END
	WHERE p.id = fail_payment_result.id AND p.died_at IS NULL
	RETURNING p.died_at IS NOT NULL
$$;
COMMENT ON FUNCTION commerce_private.fail_payment_result(bigint, text, boolean, interval) IS
	'records that retry_payment_result() has failed; true: the message is a dead letter now, because it was refused for what it says or has been parked for give_up_after';

CREATE FUNCTION commerce.redeliver_payment_results(id bigint DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	revived bigint;
BEGIN
	UPDATE commerce_private.parked_payment_results p
	SET died_at = NULL, parked_at = pg_catalog.clock_timestamp(), attempts = 0, next_attempt_at = pg_catalog.clock_timestamp()
	WHERE p.died_at IS NOT NULL AND (redeliver_payment_results.id IS NULL OR p.id = redeliver_payment_results.id);
	GET DIAGNOSTICS revived = ROW_COUNT;
	IF revived = 0 AND redeliver_payment_results.id IS NOT NULL THEN
		PERFORM commerce_private.raise_not_found('dead_letter', redeliver_payment_results.id);
	END IF;
	RETURN revived;
END
$$;
COMMENT ON FUNCTION commerce.redeliver_payment_results(bigint) IS
	'lets the relay try dead letters among payment results again, one or all, and returns how many. Errors: ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.discard_payment_results(id bigint DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	discarded bigint;
BEGIN
	DELETE FROM commerce_private.parked_payment_results p
	WHERE p.died_at IS NOT NULL AND (discard_payment_results.id IS NULL OR p.id = discard_payment_results.id);
	GET DIAGNOSTICS discarded = ROW_COUNT;
	RETURN discarded;
END
$$;
COMMENT ON FUNCTION commerce.discard_payment_results(bigint) IS
	'deletes dead letters among payment results, one or all, and returns how many';

-- sql/install/shop/import.sql

-- Moving in: what a shop was before it came here. What is imported wakes nobody, and moves neither stock nor
-- anything else than an opening balance.

-- Reading a JSON document with an error that says where in it. path: "items[0]." or nothing.
CREATE FUNCTION commerce_private.check_imported(document jsonb, path text, attributes text[])
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	unknown text;
BEGIN
	IF document IS NULL OR pg_catalog.jsonb_typeof(document) <> 'object' THEN
		PERFORM commerce_private.raise_invalid('imported', pg_catalog.btrim(path || ' must be an object'));
	END IF;
	SELECT k INTO unknown FROM pg_catalog.jsonb_object_keys(document) k WHERE k <> ALL (attributes) LIMIT 1;
	IF FOUND THEN
		PERFORM commerce_private.raise_invalid('imported', pg_catalog.format('has %s, which is no attribute', path || pg_catalog.left(unknown, 100)));
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.check_imported(jsonb, text, text[]) IS
	'raises INVALID_REQUEST unless a document is an object that has no other attributes than these';

CREATE FUNCTION commerce_private.imported_number(document jsonb, path text, attribute text, lowest bigint, highest bigint, missing bigint DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	value text := document->>attribute;
BEGIN
	IF value IS NULL AND missing IS NOT NULL THEN
		RETURN missing;
	END IF;
	IF value IS NULL OR value !~ '^-?[0-9]{1,18}$' OR value::bigint NOT BETWEEN lowest AND highest THEN
		PERFORM commerce_private.raise_invalid('imported',
			pg_catalog.format('%s must be a whole number between %s and %s', path || attribute, lowest, highest));
	END IF;
	RETURN value::bigint;
END
$$;
COMMENT ON FUNCTION commerce_private.imported_number(jsonb, text, text, bigint, bigint, bigint) IS
	'a whole number, or digits, of a document; missing: what it is where it is not given, NULL: it must be. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.imported_text(document jsonb, path text, attribute text, needed boolean DEFAULT false)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF needed AND pg_catalog.btrim(coalesce(document->>attribute, '')) = ''
	   OR coalesce(pg_catalog.jsonb_typeof(document->attribute), 'null') NOT IN ('string', 'null') THEN
		PERFORM commerce_private.raise_invalid('imported', path || attribute || ' must be a text');
	END IF;
	PERFORM commerce_private.check_text(attribute, document->>attribute);
	RETURN document->>attribute;
END
$$;
COMMENT ON FUNCTION commerce_private.imported_text(jsonb, text, text, boolean) IS
	'a text of a document. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.imported_time(document jsonb, attribute text, missing timestamptz DEFAULT NULL)
RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	given text := commerce_private.imported_text(document, '', attribute);
	value timestamptz := CASE WHEN given IS NULL THEN missing ELSE commerce_private.read_time(given) END;
BEGIN
	IF value IS NULL THEN
		PERFORM commerce_private.raise_invalid('imported', attribute || ' must be a time such as 2026-12-01T09:00:00+09:00');
	END IF;
	-- this very moment is 0 in the library, which takes it for none
	RETURN CASE WHEN value = '2000-01-01 00:00:00+00' THEN value + interval '1 microsecond' ELSE value END;
END
$$;
COMMENT ON FUNCTION commerce_private.imported_time(jsonb, text, timestamptz) IS
	'a finite time of a document, of which the first moment of 2000 is the one after it; missing: what it is where it is not given, NULL: it must be. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce.import_user(imported jsonb, idempotency_key text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	stored jsonb;
	opening bigint;
	created_at timestamptz;
	u commerce.users;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.check_imported(imported, '', '{name,email,phone,address,external_id,metadata,balance,created_at}');
	PERFORM commerce_private.check_user(commerce_private.imported_text(imported, '', 'name', true),
		commerce_private.imported_text(imported, '', 'email'), commerce_private.imported_text(imported, '', 'phone'),
		commerce_private.imported_text(imported, '', 'address'), commerce_private.imported_text(imported, '', 'external_id'),
		nullif(imported->'metadata', 'null'));
	opening := commerce_private.imported_number(imported, '', 'balance', 0, 9007199254740991, 0);
	created_at := commerce_private.imported_time(imported, 'created_at', pg_catalog.now());
	stored := commerce_private.begin_key('shop', 'import_user', idempotency_key, imported);
	IF stored IS NOT NULL THEN
		RETURN (stored->'id')::bigint;
	END IF;

	INSERT INTO commerce.users (name, email, phone, address, external_id, metadata, balance, last_entry, created_at, event_key)
	VALUES (imported->>'name', imported->>'email', imported->>'phone', imported->>'address', imported->>'external_id',
			nullif(imported->'metadata', 'null'), opening, (opening > 0)::int, created_at,
			commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	ON CONFLICT DO NOTHING
	RETURNING * INTO u;
	IF u.id IS NULL THEN
		PERFORM commerce_private.raise_taken('user',
			CASE WHEN EXISTS (SELECT FROM commerce.users t WHERE t.external_id = imported->>'external_id') THEN 'external_id'
				 WHEN EXISTS (SELECT FROM commerce.users t WHERE pg_catalog.lower(t.email) = pg_catalog.lower(imported->>'email')) THEN 'email' END);
	END IF;
	IF opening > 0 THEN
		INSERT INTO commerce.balance_entries (user_id, number, kind, amount, balance_after)
		VALUES (u.id, 1, 'OPENING', opening, opening);
	END IF;
	PERFORM commerce_private.user_event(u, 'UserCreated', '{"imported": true}');
	PERFORM commerce_private.end_key('shop', 'import_user', idempotency_key, imported, pg_catalog.jsonb_build_object('id', u.id));
	RETURN u.id;
END
$$;
COMMENT ON FUNCTION commerce.import_user(jsonb, text) IS
	'moving in: creates a user from {"name", "email", "phone", "address", "external_id", "metadata", "balance", "created_at"}, of which the name alone is needed; the balance is an OPENING entry. Returns the id. Errors: INVALID_REQUEST, ALREADY_EXISTS, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce_private.imported_items(items jsonb)
RETURNS SETOF commerce.order_items
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	most CONSTANT bigint := 1000000000000;
	item jsonb;
	path text;
	row commerce.order_items;
	product commerce.products;
BEGIN
	IF coalesce(pg_catalog.jsonb_typeof(items), 'null') <> 'array' OR pg_catalog.jsonb_array_length(items) NOT BETWEEN 1 AND 1000 THEN
		PERFORM commerce_private.raise_invalid('imported', 'items must be an array of 1 to 1000 elements');
	END IF;
	FOR item, row.line IN SELECT e.value, e.ordinality FROM pg_catalog.jsonb_array_elements(items) WITH ORDINALITY e LOOP
		path := pg_catalog.format('items[%s].', row.line - 1);
		PERFORM commerce_private.check_imported(item, path, '{product_id,product_name,quantity,unit_price,unit_discount,tax_exempt}');
		row.product_id := commerce_private.imported_number(item, path, 'product_id', 1, 999999999999999999);
		row.quantity := commerce_private.imported_number(item, path, 'quantity', 1, most);
		row.unit_price := commerce_private.imported_number(item, path, 'unit_price', 0, most);
		row.unit_discount := commerce_private.imported_number(item, path, 'unit_discount', 0, row.unit_price, 0);
		row.unit_final := row.unit_price - row.unit_discount;
		IF row.unit_price::numeric * row.quantity > 9007199254740991 THEN
			PERFORM commerce_private.raise_invalid('imported', path || 'quantity makes an amount that is too large');
		END IF;
		row.line_total := row.unit_final * row.quantity;
		SELECT * INTO product FROM commerce.products p WHERE p.id = row.product_id;
		IF NOT FOUND THEN
			PERFORM commerce_private.raise_not_found('product', row.product_id);
		END IF;
		row.seller_id := product.seller_id;
		row.product_name := coalesce(commerce_private.imported_text(item, path, 'product_name'), product.name);
		IF coalesce(pg_catalog.jsonb_typeof(item->'tax_exempt'), 'null') NOT IN ('boolean', 'null') THEN
			PERFORM commerce_private.raise_invalid('imported', path || 'tax_exempt must be true or false');
		END IF;
		row.tax_exempt := coalesce((item->>'tax_exempt')::boolean, product.tax_exempt);
		RETURN NEXT row;
	END LOOP;
END
$$;
COMMENT ON FUNCTION commerce_private.imported_items(jsonb) IS
	'the lines of an imported order, without what the order decides. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.imported_totals(imported jsonb, lines commerce.order_items[])
RETURNS commerce.orders
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	most CONSTANT bigint := 9007199254740991;
	totals commerce.orders;
	goods numeric;
	difference bigint;
BEGIN
	SELECT sum(l.unit_price * l.quantity) INTO goods FROM pg_catalog.unnest(lines) l;
	IF goods > most THEN
		PERFORM commerce_private.raise_invalid('imported', 'items make an amount that is too large');
	END IF;
	SELECT sum(l.unit_price * l.quantity), sum(l.unit_discount * l.quantity), sum(l.line_total)
	INTO totals.items_total, totals.item_discount_total, goods
	FROM pg_catalog.unnest(lines) l;
	totals.order_discount := commerce_private.imported_number(imported, '', 'order_discount', 0, most, 0);
	totals.shipping_total := commerce_private.imported_number(imported, '', 'shipping_total', 0, most, 0);
	totals.payment_amount := commerce_private.imported_number(imported, '', 'payment_amount', 0, most);

	difference := totals.payment_amount - (goods - totals.order_discount + totals.shipping_total);
	IF difference <> 0 THEN
		CASE imported->>'difference'
			WHEN 'order_discount' THEN totals.order_discount := totals.order_discount - difference;
			WHEN 'shipping_total' THEN totals.shipping_total := totals.shipping_total + difference;
			ELSE
				PERFORM commerce_private.raise_invalid('imported', pg_catalog.format(
					'payment_amount is %s off the items less order_discount plus shipping_total: difference may say which of these takes it', difference));
		END CASE;
	END IF;
	IF totals.order_discount NOT BETWEEN 0 AND goods OR totals.shipping_total NOT BETWEEN 0 AND most THEN
		PERFORM commerce_private.raise_invalid('imported', 'order_discount must be between 0 and what the items cost, shipping_total 0 or more');
	END IF;
	RETURN totals;
END
$$;
COMMENT ON FUNCTION commerce_private.imported_totals(jsonb, commerce.order_items[]) IS
	'what an imported order comes to; a difference goes where the document says. Errors: INVALID_REQUEST';

-- Each line's share by largest remainder, ties to the lower line.
CREATE FUNCTION commerce_private.spread_discount(discount bigint, lines commerce.order_items[])
RETURNS TABLE (line int, share bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT s.line, (s.share + (pg_catalog.row_number() OVER (ORDER BY s.rest DESC, s.line)
							   <= spread_discount.discount - sum(s.share) OVER ())::int)::bigint
	FROM (SELECT l.line, pg_catalog.div(spread_discount.discount::numeric * l.line_total, t.total) AS share,
				 pg_catalog.mod(spread_discount.discount::numeric * l.line_total, t.total) AS rest
		  FROM pg_catalog.unnest(spread_discount.lines) l,
			   (SELECT greatest(sum(u.line_total), 1) AS total FROM pg_catalog.unnest(spread_discount.lines) u) t) s
$$;
COMMENT ON FUNCTION commerce_private.spread_discount(bigint, commerce.order_items[]) IS
	'spreads the discount of an imported order over its lines, as orders placed here spread theirs';

CREATE FUNCTION commerce_private.write_imported(order_id bigint)
RETURNS void
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'commerce_write_imported';
COMMENT ON FUNCTION commerce_private.write_imported(bigint) IS 'writes OrderImported, which carries the order as OrderCreated does';

CREATE FUNCTION commerce_private.insert_imported(
	buyer commerce.users, imported jsonb, totals commerce.orders, lines commerce.order_items[], paid timestamptz, delivered timestamptz)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	made bigint;
BEGIN
	PERFORM commerce_private.require_currency();
	INSERT INTO commerce.orders (user_id, status, payment_method, created_at, paid_at, items_total, item_discount_total,
		order_discount, shipping_total, payment_amount, event_key, recipient_name, recipient_phone, recipient_address,
		recipient_memo, tax_free_amount, metadata, imported)
	SELECT buyer.id, 'COMPLETED', 'EXTERNAL', commerce_private.imported_time(imported, 'created_at', paid), paid,
		   totals.items_total, totals.item_discount_total, totals.order_discount, totals.shipping_total, totals.payment_amount,
		   commerce_private.to_key(pg_catalog.pg_current_xact_id()),
		   coalesce(commerce_private.imported_text(d.delivery, 'delivery.', 'name'), buyer.name),
		   coalesce(commerce_private.imported_text(d.delivery, 'delivery.', 'phone'), buyer.phone),
		   coalesce(commerce_private.imported_text(d.delivery, 'delivery.', 'address'), buyer.address),
		   commerce_private.imported_text(d.delivery, 'delivery.', 'memo'),
		   coalesce((SELECT sum(l.line_total - s.share) FROM pg_catalog.unnest(lines) l
					 JOIN commerce_private.spread_discount(totals.order_discount, lines) s USING (line) WHERE l.tax_exempt), 0),
		   nullif(imported->'metadata', 'null'), true
	FROM (SELECT nullif(imported->'delivery', 'null') AS delivery) d
	RETURNING id INTO made;
	INSERT INTO commerce.order_items (order_id, seq, line, product_id, seller_id, product_name, status, quantity, unit_price,
		unit_discount, unit_final, line_total, order_discount_share, shipping_fee, delivered_at, tax_exempt, last_event)
	SELECT made, l.line, l.line, l.product_id, l.seller_id, l.product_name, 'CONFIRMED', l.quantity, l.unit_price,
		   l.unit_discount, l.unit_final, l.line_total, s.share,
		   CASE l.line WHEN 1 THEN totals.shipping_total ELSE 0 END, delivered, l.tax_exempt, 3
	FROM pg_catalog.unnest(lines) l JOIN commerce_private.spread_discount(totals.order_discount, lines) s USING (line)
	ORDER BY l.line;
	INSERT INTO commerce.order_item_events (order_item_id, ordinal, from_status, event, quantity, at, actor, note)
	SELECT i.id, e.ordinal, e.from_status, e.event, i.quantity, e.at, 'SYSTEM', 'imported'
	FROM commerce.order_items i,
		 (VALUES (1, NULL::commerce.order_item_status, 'PAID'::commerce.order_item_status, paid),
				 (2, 'PAID', 'DELIVERED', delivered),
				 (3, 'DELIVERED', 'CONFIRMED', delivered)) e (ordinal, from_status, event, at)
	WHERE i.order_id = made
	ORDER BY i.id, e.ordinal;
	INSERT INTO commerce.payments (order_id, user_id, kind, method, status, amount, provider_event_id, at, channel, tax_free_amount)
	SELECT made, buyer.id, 'PAYMENT', 'EXTERNAL', 'COMPLETED', o.payment_amount,
			commerce_private.imported_text(insert_imported.imported, '', 'provider_event_id'), paid,
			commerce_private.imported_text(insert_imported.imported, '', 'payment_channel'), o.tax_free_amount
	FROM commerce.orders o WHERE o.id = made;
	RETURN made;
END
$$;
COMMENT ON FUNCTION commerce_private.insert_imported(commerce.users, jsonb, commerce.orders, commerce.order_items[], timestamptz, timestamptz) IS
	'the rows of an imported order';

CREATE FUNCTION commerce.import_order(imported jsonb, idempotency_key text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	stored jsonb;
	paid timestamptz;
	delivered timestamptz;
	buyer commerce.users;
	lines commerce.order_items[];
	order_id bigint;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.check_imported(imported, '', '{user_id,items,order_discount,shipping_total,payment_amount,difference,created_at,'
		'paid_at,delivered_at,delivery,provider_event_id,payment_channel,metadata}');
	PERFORM commerce_private.check_metadata(nullif(imported->'metadata', 'null'));
	IF nullif(imported->'delivery', 'null') IS NOT NULL THEN
		PERFORM commerce_private.check_imported(imported->'delivery', 'delivery', '{name,phone,address,memo}');
	END IF;
	paid := commerce_private.imported_time(imported, 'paid_at');
	delivered := commerce_private.imported_time(imported, 'delivered_at', paid);
	IF commerce_private.imported_time(imported, 'created_at', paid) > paid OR paid > delivered OR delivered > pg_catalog.now() THEN
		PERFORM commerce_private.raise_invalid('imported', 'created_at, paid_at and delivered_at must be in this order, and past');
	END IF;
	stored := commerce_private.begin_key('shop', 'import_order', idempotency_key, imported);
	IF stored IS NOT NULL THEN
		RETURN (stored->'id')::bigint;
	END IF;

	buyer := commerce_private.lock_user(commerce_private.imported_number(imported, '', 'user_id', 1, 999999999999999999));
	PERFORM commerce_private.require_not_erased(buyer);
	lines := ARRAY(SELECT i FROM commerce_private.imported_items(imported->'items') i);
	order_id := commerce_private.insert_imported(buyer, imported, commerce_private.imported_totals(imported, lines), lines, paid, delivered);
	PERFORM commerce_private.write_imported(order_id);
	PERFORM commerce_private.end_key('shop', 'import_order', idempotency_key, imported, pg_catalog.jsonb_build_object('id', order_id));
	RETURN order_id;
END
$$;
COMMENT ON FUNCTION commerce.import_order(jsonb, text) IS
	'moving in: an order that is over, paid EXTERNAL, from {"user_id", "items": [{"product_id", "product_name", "quantity", "unit_price", "unit_discount", "tax_exempt"}], "order_discount", "shipping_total", "payment_amount", "difference", "created_at", "paid_at", "delivered_at", "delivery", "provider_event_id", "payment_channel", "metadata"}. Needed are user_id, items with product, quantity and price, payment_amount and paid_at; difference: order_discount or shipping_total, which takes what payment_amount is off the rest. It moves no stock and no balance, counts towards no limit and wakes nobody; it can be refunded by amount, and not be cancelled or returned. Returns the id. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, INVALID_STATE_TRANSITION, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce_private.insert_imported_issue(coupon_id bigint, user_id bigint, issued_at timestamptz, expires_at timestamptz)
RETURNS bigint
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'commerce_insert_imported_issue';
COMMENT ON FUNCTION commerce_private.insert_imported_issue(bigint, bigint, timestamptz, timestamptz) IS
	'takes one of a coupon''s quota and writes the issue, with the coupon''s terms as they are. Errors: COUPON_SOLD_OUT, COUPON_ALREADY_CLAIMED';

CREATE FUNCTION commerce_private.require_imported_use(imported jsonb)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	order_id bigint := commerce_private.imported_number(imported, '', 'used_order_id', 1, 999999999999999999);
BEGIN
	PERFORM commerce_private.imported_time(imported, 'used_at'),
		commerce_private.imported_number(imported, '', 'discount', 1, 9007199254740991);
	IF NOT EXISTS (SELECT FROM commerce.orders o
				   WHERE o.id = order_id AND o.imported AND o.user_id = (require_imported_use.imported->>'user_id')::bigint) THEN
		PERFORM commerce_private.raise_invalid('imported', 'used_order_id must be an imported order of the user');
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.require_imported_use(jsonb) IS
	'raises INVALID_REQUEST unless it is told when and for which imported order of the user a coupon was used, and what it took off';

CREATE FUNCTION commerce.import_coupon_issue(imported jsonb, idempotency_key text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
<<given>>
DECLARE
	stored jsonb;
	status text;
	issued timestamptz;
	expires timestamptz;
	holder commerce.users;
	coupon commerce.coupons;
	issue commerce.coupon_issues;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.check_imported(imported, '', '{user_id,coupon_id,status,issued_at,expires_at,used_at,used_order_id,discount}');
	issued := commerce_private.imported_time(imported, 'issued_at', pg_catalog.now());
	IF issued > pg_catalog.now() THEN
		PERFORM commerce_private.raise_invalid('imported', 'issued_at must be past');
	END IF;
	status := coalesce(commerce_private.imported_text(imported, '', 'status'), 'ACTIVE');
	IF status <> ALL ('{ACTIVE,USED,EXPIRED,REVOKED}') THEN
		PERFORM commerce_private.raise_invalid('imported', 'status must be ACTIVE, USED, EXPIRED or REVOKED');
	END IF;
	PERFORM commerce_private.imported_number(imported, '', 'user_id', 1, 999999999999999999),
		commerce_private.imported_number(imported, '', 'coupon_id', 1, 999999999999999999);
	stored := commerce_private.begin_key('shop', 'import_coupon_issue', idempotency_key, imported);
	IF stored IS NOT NULL THEN
		RETURN (stored->'id')::bigint;
	END IF;

	holder := commerce_private.lock_user((imported->>'user_id')::bigint);
	PERFORM commerce_private.require_not_erased(holder);
	SELECT * INTO coupon FROM commerce.coupons c WHERE c.id = (imported->>'coupon_id')::bigint;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('coupon', (imported->>'coupon_id')::bigint);
	END IF;
	expires := commerce_private.imported_time(imported, 'expires_at',
		coalesce(coupon.valid_until, issued + pg_catalog.make_interval(days => coupon.valid_days)));
	IF expires <= issued THEN
		PERFORM commerce_private.raise_invalid('imported', 'expires_at must be after issued_at');
	END IF;
	IF status = 'USED' THEN
		PERFORM commerce_private.require_imported_use(imported);
	ELSIF imported ?| '{used_at,used_order_id,discount}' THEN
		PERFORM commerce_private.raise_invalid('imported', 'used_at, used_order_id and discount are of a coupon that is USED');
	END IF;

	issue.id := commerce_private.insert_imported_issue(coupon.id, holder.id, issued, expires);
	UPDATE commerce.coupon_issues i
	SET status = given.status::commerce.coupon_issue_status, used_at = commerce_private.read_time(imported->>'used_at'),
		used_order_id = (imported->>'used_order_id')::bigint
	WHERE i.id = issue.id
	RETURNING * INTO issue;
	IF status = 'USED' THEN
		INSERT INTO commerce.order_coupons (order_id, coupon_issue_id, discount)
		VALUES (issue.used_order_id, issue.id, (imported->>'discount')::bigint);
	END IF;
	PERFORM commerce_private.coupon_event(issue, 'CouponIssued', '{"imported": true}');
	PERFORM commerce_private.end_key('shop', 'import_coupon_issue', idempotency_key, imported, pg_catalog.jsonb_build_object('id', issue.id));
	RETURN issue.id;
END
$$;
COMMENT ON FUNCTION commerce.import_coupon_issue(jsonb, text) IS
	'moving in: a coupon that a user holds or has had, from {"user_id", "coupon_id", "status", "issued_at", "expires_at", "used_at", "used_order_id", "discount"}, of which the ids are needed; the last three are of a coupon that was USED for an imported order. It takes one of the coupon''s quantity, and its terms as they are. Returns the id. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, INVALID_STATE_TRANSITION, COUPON_SOLD_OUT, COUPON_ALREADY_CLAIMED, IDEMPOTENCY_KEY_REUSED';

-- sql/install/shop/report.sql

-- Reports: what was sold, and what of it was undone, each on its own day, so that a closed day never changes.

-- Of what is read by time, every order would pay for a btree; rows come in the order of these times, or nearly.
CREATE INDEX orders_times_idx ON commerce.orders USING brin (paid_at, created_at);
-- Pages are summarized once they are full. Of the first ones there is a summary already, which each order would change.
SELECT pg_catalog.brin_desummarize_range('commerce.orders_times_idx', 0);
-- What was asked for, and what was undone: an order that goes well has no entry in it.
CREATE INDEX order_item_events_undone_idx ON commerce.order_item_events (at)
	WHERE event IN ('CANCEL_REQUESTED', 'RETURN_REQUESTED', 'EXCHANGE_REQUESTED', 'RETURNED')
	   OR (event = 'CANCELLED' AND from_status <> 'PENDING_PAYMENT');
CREATE INDEX payments_refunds_idx ON commerce.payments (at) WHERE kind = 'REFUND';

-- What a coupon took off is by its own terms; the rest of a discount is the seller's own.
CREATE FUNCTION commerce_private.item_discounts(
	item commerce_private.all_order_items, OUT own_discounts bigint, OUT shop_discounts bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT (item.unit_discount * item.quantity + item.order_discount_share - d.shop)::bigint, d.shop::bigint
	FROM (SELECT coalesce(sum(CASE WHEN i.scope = 'PRODUCT'
								   -- so much per unit, of all units that it was used for
								   THEN c.discount / (SELECT sum(u.quantity) FROM commerce_private.all_order_items u
													  WHERE u.order_id = item.order_id AND u.month = item.month AND u.coupon_issue_id = i.id) * item.quantity
								   ELSE item.order_discount_share END), 0) AS shop
		  FROM commerce_private.all_order_coupons c JOIN commerce.coupon_issues i ON i.id = c.coupon_issue_id
		  WHERE c.order_id = item.order_id AND c.month = item.month AND i.kind <> 'FREE_SHIPPING' AND i.seller_id IS NULL
			AND (i.scope <> 'PRODUCT' OR i.id = item.coupon_issue_id)) d
$$;
COMMENT ON FUNCTION commerce_private.item_discounts(commerce_private.all_order_items) IS
	'what was taken off an item, shipping apart: by instant discount, promotions and the seller''s coupons, and by the shop''s coupons';

CREATE FUNCTION commerce_private.ships_free_by_shop(item commerce_private.all_order_items)
RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM commerce_private.all_order_coupons c JOIN commerce.coupon_issues i ON i.id = c.coupon_issue_id
				   WHERE c.order_id = item.order_id AND c.month = item.month AND i.kind = 'FREE_SHIPPING' AND i.seller_id IS NULL)
$$;
COMMENT ON FUNCTION commerce_private.ships_free_by_shop(commerce_private.all_order_items) IS 'whether the shop''s coupon, not a seller''s, paid for the shipping of an item''s order';

-- Shipping comes back when the last of the items that share the fee is cancelled, or lost on the way.
CREATE FUNCTION commerce_private.fee_came_back(fee commerce_private.all_order_items)
RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN pg_catalog.bool_and(i.status = 'CANCELLED' OR (i.status = 'RETURNED' AND i.lost)) THEN max(e.at) END
	FROM commerce_private.all_order_items i
	LEFT JOIN LATERAL (SELECT max(h.at) AS at FROM commerce_private.all_order_item_events h
					   WHERE h.order_item_id = i.id AND h.month = i.month AND h.event = i.status) e ON true
	WHERE i.order_id = fee.order_id AND i.month = fee.month
	  AND CASE WHEN fee.own_shipping OR i.own_shipping THEN i.line = fee.line ELSE i.seller_id IS NOT DISTINCT FROM fee.seller_id END
$$;
COMMENT ON FUNCTION commerce_private.fee_came_back(commerce_private.all_order_items) IS
	'when the shipping fee that stands on an item was refunded; NULL: it was not';

CREATE FUNCTION commerce_private.item_facts(from_time timestamptz, until_time timestamptz)
RETURNS TABLE (seller_id bigint, day date, product_id bigint, fact text, units bigint, gross bigint, own_discounts bigint,
			   shop_discounts bigint, shipping bigint, deductions bigint, tax_free bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
	WITH ended AS MATERIALIZED (
		SELECT commerce_private.local_date(e.at) AS day, CASE e.event WHEN 'CANCELLED' THEN 'CANCEL' ELSE 'RETURN' END AS fact, i AS item
		FROM commerce_private.all_order_item_events e JOIN commerce_private.all_order_items i ON i.id = e.order_item_id AND i.month = e.month
		WHERE e.at >= from_time AND e.at < until_time
		  AND (e.event = 'RETURNED' OR (e.event = 'CANCELLED' AND e.from_status <> 'PENDING_PAYMENT'))
	), sold AS MATERIALIZED (
		SELECT commerce_private.local_date(o.paid_at) AS day, i AS item
		FROM commerce_private.all_orders o JOIN commerce_private.all_order_items i ON i.order_id = o.id AND i.month = o.month
		WHERE o.paid_at >= from_time AND o.paid_at < until_time
	), goods AS (
		SELECT 1 AS sign, s.day, (s.item).product_id, 'SALE' AS fact, s.item, 0::bigint AS deduction FROM sold s
		UNION ALL
		SELECT -1, e.day, coalesce((e.item).replacement_product_id, (e.item).product_id), e.fact, e.item, (e.item).deduction FROM ended e
	), fees AS (
		SELECT 1 AS sign, s.day, 'SALE' AS fact, s.item FROM sold s WHERE (s.item).shipping_fee > 0
		UNION ALL
		SELECT -1, commerce_private.local_date(b.at), 'CANCEL', f
		FROM (SELECT DISTINCT (e.item).order_id, (e.item).month FROM ended e) o
		JOIN commerce_private.all_order_items f ON f.order_id = o.order_id AND f.month = o.month AND f.shipping_fee > 0
		CROSS JOIN LATERAL commerce_private.fee_came_back(f) b (at)
		WHERE b.at >= from_time AND b.at < until_time
	)
	SELECT (g.item).seller_id, g.day, g.product_id, g.fact, g.sign * (g.item).quantity,
		   g.sign * (g.item).unit_price * (g.item).quantity, g.sign * d.own_discounts, g.sign * d.shop_discounts, 0, g.deduction,
		   CASE WHEN (g.item).tax_exempt THEN g.sign * ((g.item).line_total - (g.item).order_discount_share) ELSE 0 END
	FROM goods g CROSS JOIN LATERAL commerce_private.item_discounts(g.item) d
	UNION ALL
	SELECT (f.item).seller_id, f.day, (f.item).product_id, f.fact, 0, 0,
		   CASE WHEN s.by_shop THEN 0 ELSE f.sign * (f.item).shipping_discount END,
		   CASE WHEN s.by_shop THEN f.sign * (f.item).shipping_discount ELSE 0 END, f.sign * (f.item).shipping_fee, 0, 0
	FROM fees f CROSS JOIN LATERAL commerce_private.ships_free_by_shop(f.item) s (by_shop)
$$;
COMMENT ON FUNCTION commerce_private.item_facts(timestamptz, timestamptz) IS
	'what was sold, cancelled and returned from one moment until just before another; what is undone has the opposite sign';

CREATE FUNCTION commerce_private.refund_facts(from_time timestamptz, until_time timestamptz)
RETURNS TABLE (day date, amount bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
	SELECT commerce_private.local_date(f.at), f.amount
	FROM commerce_private.all_payments r
	JOIN commerce_private.all_orders o ON o.id = r.order_id AND o.month = r.month AND o.paid_at IS NOT NULL
	LEFT JOIN commerce_private.all_payments p ON p.id = r.refund_of AND p.month = r.month
	-- a success after the failure adds to what the failure's day says, and takes nothing from it
	CROSS JOIN LATERAL (VALUES (coalesce(r.requested_at, r.at), r.amount), (r.failed_at, -r.amount),
							   (CASE WHEN r.failed_at IS NOT NULL AND r.status = 'COMPLETED' THEN r.at END, r.amount)) f (at, amount)
	WHERE r.kind = 'REFUND' AND p.status IS DISTINCT FROM 'UNEXPECTED'
	  -- asked for, and failed, at most as long before
	  AND r.at >= from_time AND f.at >= from_time AND f.at < until_time
$$;
COMMENT ON FUNCTION commerce_private.refund_facts(timestamptz, timestamptz) IS
	'what was to go back to buyers of paid orders, with the opposite sign what a provider failed to give back, and what it gave back after all';

CREATE FUNCTION commerce.sales_report(seller_id bigint, from_date date, to_date date)
RETURNS TABLE (day date, product_id bigint, fact text, units bigint, gross bigint, own_discounts bigint, shop_discounts bigint,
			   shipping bigint, deductions bigint, refunds bigint, net bigint, tax_free bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	zone text := commerce_private.setting('commerce.timezone');
	from_time timestamptz;
	until_time timestamptz;
BEGIN
	IF from_date IS NULL OR from_date NOT BETWEEN '1900-01-01' AND '9999-12-30' THEN
		PERFORM commerce_private.raise_invalid('from_date', 'must be a day of the calendar');
	END IF;
	IF to_date IS NULL OR to_date NOT BETWEEN from_date AND '9999-12-30' THEN
		PERFORM commerce_private.raise_invalid('to_date', 'must be a day of the calendar, from_date or later');
	END IF;
	IF sales_report.seller_id IS NOT NULL AND NOT EXISTS (SELECT FROM commerce.sellers s WHERE s.id = sales_report.seller_id) THEN
		PERFORM commerce_private.raise_not_found('seller', sales_report.seller_id);
	END IF;
	from_time := from_date::timestamp AT TIME ZONE zone;
	until_time := (to_date + 1)::timestamp AT TIME ZONE zone;

	RETURN QUERY
		WITH facts AS MATERIALIZED (
			SELECT f.*, f.gross - f.own_discounts - f.shop_discounts + f.shipping + f.deductions AS net
			FROM commerce_private.item_facts(from_time, until_time) f
		), goodwill AS (
			-- what was refunded and no item accounts for
			SELECT g.day, sum(g.amount) AS amount
			FROM (SELECT r.day, r.amount FROM commerce_private.refund_facts(from_time, until_time) r
				  UNION ALL SELECT f.day, f.net FROM facts f WHERE f.fact <> 'SALE') g
			WHERE sales_report.seller_id IS NULL
			GROUP BY 1 HAVING sum(g.amount) <> 0
		)
		SELECT f.day, f.product_id, f.fact, sum(f.units)::bigint, sum(f.gross)::bigint, sum(f.own_discounts)::bigint,
			   sum(f.shop_discounts)::bigint, sum(f.shipping)::bigint, sum(f.deductions)::bigint,
			   CASE f.fact WHEN 'SALE' THEN 0 ELSE -sum(f.net) END::bigint, sum(f.net)::bigint, sum(f.tax_free)::bigint
		FROM facts f WHERE f.seller_id IS NOT DISTINCT FROM sales_report.seller_id
		GROUP BY f.day, f.product_id, f.fact
		UNION ALL
		SELECT g.day, NULL, 'REFUND', 0, 0, 0, 0, 0, 0, g.amount::bigint, -g.amount::bigint, 0 FROM goodwill g
		ORDER BY 1, 2, 3;
END
$$;
COMMENT ON FUNCTION commerce.sales_report(bigint, date, date) IS
	'what a seller has sold from one day to another, in commerce.timezone; seller_id NULL: the shop''s own. A row per day, product and kind of fact: SALE by the day of payment, CANCEL and RETURN by their own, with the opposite signs, so that a closed day never changes. own_discounts: instant discounts, promotions, the seller''s coupons; shop_discounts: the shop''s coupons; both with what a free-shipping coupon took off shipping. deductions: kept back at returns; refunds: what went back to buyers; net: gross less discounts, plus shipping and deductions, which is what the money came to; tax_free: of it, without shipping, for tax-exempt products. The shop''s own report has refunds that no item accounts for, such as goodwill, in rows REFUND without a product: less where one was taken off a later return, or where a provider failed. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

-- sql/install/shop/router.sql

-- The router of a shop of several cells (docs/cells.md): a database of its own, in which functions with the names and
-- arguments of the contract call those of the cell that has the row, by PL/Proxy. What it is made of is text, which is
-- made here from the catalog.

-- Of a function which of its arguments names the row, or what else says where it runs.
CREATE FUNCTION commerce_private.router_route(f pg_catalog.pg_proc, OUT route text, OUT argument text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN (f).proname = ANY ('{create_seller,update_seller,create_product,update_product,set_product_status,adjust_stock,create_promotion,update_promotion,end_promotion,create_coupon,update_coupon,stop_coupon,reserve_user,error_codes}') THEN 'catalogue'
				WHEN (f).proname = ANY ('{available_stock,cell_of,cell_of_sheet,check_invariants,create_user,find_user,grant_app,metrics,popular_products,revoke_app,sales_report,sign_up,update_user}') THEN 'own'
				WHEN (f).proname = ANY ('{check_conversion,confirm_delivered_items,expire_coupons,expire_pending_orders,purge_idempotency_keys,purge_order_sheets,refresh_popular_products}') THEN 'sum'
				WHEN a.name IS NOT NULL THEN 'row' END,
		   a.name
	FROM (SELECT) one
	LEFT JOIN LATERAL (SELECT i.name FROM pg_catalog.unnest((f).proargnames) WITH ORDINALITY AS i (name, position)
					   WHERE i.name = ANY ('{user_id,order_id,order_item_id,order_item_ids,order_sheet_id,shipment_id,payment_id,coupon_issue_id}')
						 AND i.position <= (f).pronargs
					   ORDER BY i.position LIMIT 1) a ON true
$$;
COMMENT ON FUNCTION commerce_private.router_route(pg_catalog.pg_proc) IS
	'where the router runs a function: row, in the cell of the id that argument names; catalogue, in cell 0; sum, in all cells, adding up what they return; own, a way of its own; NULL: nowhere';

CREATE FUNCTION commerce_private.router_columns(relation regclass)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.string_agg(pg_catalog.format('l.%I', a.attname), ', ' ORDER BY a.attnum)
	FROM pg_catalog.pg_attribute a WHERE a.attrelid = router_columns.relation AND a.attnum > 0 AND NOT a.attisdropped
$$;
COMMENT ON FUNCTION commerce_private.router_columns(regclass) IS 'the columns of a table or view, of which l is the alias';

CREATE FUNCTION commerce_private.router_types()
RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.format('CREATE TYPE %s AS ENUM (%s);', t.oid::regtype,
		(SELECT pg_catalog.string_agg(pg_catalog.quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid))
	FROM pg_catalog.pg_type t WHERE t.typnamespace = 'commerce'::regnamespace AND t.typtype = 'e'
	UNION ALL
	SELECT pg_catalog.format('CREATE TYPE %s AS (%s);', c.oid::regclass,
		(SELECT pg_catalog.string_agg(pg_catalog.format('%I %s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
		 FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))
	FROM pg_catalog.pg_class c WHERE c.relnamespace = 'commerce'::regnamespace AND c.relkind IN ('r', 'v')
$$;
COMMENT ON FUNCTION commerce_private.router_types() IS 'the enums, and the rows of tables and views, as types of the router';

-- CREATE FUNCTION without its body. What the router runs in two steps has a first one with the cell before the arguments.
CREATE FUNCTION commerce_private.router_head(f regprocedure, language text, at_cell boolean)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.format('CREATE FUNCTION %s.%I(%s) RETURNS %s LANGUAGE %s AS ', CASE WHEN at_cell THEN 'router' ELSE 'commerce' END, p.proname,
		CASE WHEN at_cell THEN pg_catalog.concat_ws(', ', 'at_cell int', pg_catalog.pg_get_function_identity_arguments(p.oid)) ELSE pg_catalog.pg_get_function_arguments(p.oid) END,
		pg_catalog.pg_get_function_result(p.oid), language)
	FROM pg_catalog.pg_proc p WHERE p.oid = f
$$;
COMMENT ON FUNCTION commerce_private.router_head(regprocedure, text, boolean) IS
	'CREATE FUNCTION of a function of the router, up to its body; at_cell: in schema router, with a cell as first argument';

CREATE FUNCTION commerce_private.router_at_cell(f regprocedure)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT commerce_private.router_head(f, 'plproxy', true) || pg_catalog.quote_literal(pg_catalog.format('CONNECT router.conninfo(at_cell); SELECT %s commerce.%I(%s)%s;',
		CASE WHEN r.typrelid <> 0 THEN commerce_private.router_columns(r.typrelid) || ' FROM' ELSE '' END, p.proname,
		(SELECT pg_catalog.string_agg(pg_catalog.format('$%s', i + 1), ', ' ORDER BY i) FROM pg_catalog.generate_series(1, p.pronargs) AS i),
		CASE WHEN r.typrelid <> 0 THEN ' AS l' ELSE '' END)) || ';'
	FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_type r ON r.oid = p.prorettype WHERE p.oid = f
$$;
COMMENT ON FUNCTION commerce_private.router_at_cell(regprocedure) IS 'a function of the router that calls one of the contract in the cell that is its first argument';

CREATE FUNCTION commerce_private.router_function(f regprocedure)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p pg_catalog.pg_proc;
	way record;
	arguments text;
	made text := '';
BEGIN
	SELECT * INTO STRICT p FROM pg_catalog.pg_proc q WHERE q.oid = f;
	way := commerce_private.router_route(p);
	IF way.route IN ('row', 'catalogue') THEN
		made := commerce_private.router_head(f, 'plproxy', false) || pg_catalog.quote_literal(
			CASE way.route WHEN 'row' THEN pg_catalog.format('CONNECT router.conninfo_of(%I);', way.argument) ELSE 'CONNECT router.conninfo(0);' END) || ';';
	ELSIF way.route = 'sum' THEN
		arguments := CASE p.pronargs WHEN 0 THEN '' ELSE '$1' END;
		made := pg_catalog.format('CREATE FUNCTION router.%I(%s) RETURNS SETOF bigint LANGUAGE plproxy AS %L;', p.proname,
			pg_catalog.pg_get_function_identity_arguments(f), pg_catalog.format($p$CLUSTER 'cells'; RUN ON ALL; SELECT commerce.%I(%s)::bigint;$p$, p.proname, arguments)) ||
			commerce_private.router_head(f, 'sql', false) || pg_catalog.quote_literal(
			pg_catalog.format('SELECT sum(n)::%s FROM router.%I(%s) AS n', p.prorettype::regtype, p.proname, arguments)) || ';';
	END IF;
	RETURN made || pg_catalog.format(E'\nCOMMENT ON FUNCTION commerce.%I(%s) IS %L;', p.proname, pg_catalog.pg_get_function_identity_arguments(f),
		pg_catalog.obj_description(f, 'pg_proc'));
END
$$;
COMMENT ON FUNCTION commerce_private.router_function(regprocedure) IS 'a function of the contract, as the router has it, and its comment';

CREATE FUNCTION commerce_private.router_functions(routes text[])
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.string_agg(commerce_private.router_function(p.oid), E'\n' ORDER BY p.proname)
	FROM pg_catalog.pg_proc p
	WHERE p.pronamespace = 'commerce'::regnamespace AND (commerce_private.router_route(p)).route = ANY (routes)
$$;
COMMENT ON FUNCTION commerce_private.router_functions(text[]) IS 'the functions that the router runs in one of these ways';

-- Where the cells are. PL/Proxy keeps a connection to each that is used, as the caller's own role.
CREATE FUNCTION commerce_private.router_cells(cells jsonb)
RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $outer$
SELECT $router$
CREATE TABLE router.cells (
	number int PRIMARY KEY CHECK (number BETWEEN 0 AND 8999),
	conninfo text NOT NULL,
	takes_users boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE router.cells IS 'the cells: a row added, or changed, counts from the next call on';
COMMENT ON COLUMN router.cells.conninfo IS 'as libpq has it, with keywords; without user, it is the caller''s own role';
COMMENT ON COLUMN router.cells.takes_users IS 'whether new users may go there';
CREATE TABLE router.version (number int NOT NULL);
INSERT INTO router.version VALUES (1);
CREATE FUNCTION router.changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE router.version SET number = number + 1;
	RETURN NULL;
END
$$;
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON router.cells FOR EACH STATEMENT EXECUTE FUNCTION router.changed();

CREATE FUNCTION plproxy.get_cluster_version(cluster_name text) RETURNS int LANGUAGE sql STABLE
AS 'SELECT v.number FROM router.version v';
CREATE FUNCTION plproxy.get_cluster_config(cluster_name text, OUT key text, OUT val text) RETURNS SETOF record LANGUAGE sql STABLE
AS $$ SELECT 'modular_mapping', '1' $$;
-- A machine that is gone ends the calls that wait for it, after ten seconds or so; what the list says of that comes later, and counts.
CREATE FUNCTION router.reach(conninfo text) RETURNS text LANGUAGE sql IMMUTABLE
AS $$ SELECT 'tcp_user_timeout=10000 keepalives_idle=5 keepalives_interval=1 keepalives_count=5 ' || conninfo $$;
CREATE FUNCTION plproxy.get_cluster_partitions(cluster_name text) RETURNS SETOF text LANGUAGE sql STABLE
AS 'SELECT router.reach(c.conninfo) FROM router.cells c ORDER BY c.number';

CREATE FUNCTION commerce.cell_of(id bigint) RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS 'SELECT (id / 1000000000000)::int';
CREATE FUNCTION commerce.cell_of_sheet(order_sheet_id uuid) RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
	SELECT CASE WHEN b.cell <= 8999 THEN b.cell END
	FROM (SELECT ('x' || right(order_sheet_id::text, 4))::bit(16)::int & 16383) AS b (cell)
$$;

-- What is nowhere is cell 0's to refuse.
CREATE FUNCTION router.conninfo(cell int) RETURNS text LANGUAGE sql STABLE
AS 'SELECT router.reach(c.conninfo) FROM router.cells c WHERE c.number IN (0, cell) ORDER BY c.number DESC LIMIT 1';
CREATE FUNCTION router.conninfo_of(id bigint) RETURNS text LANGUAGE sql STABLE
AS 'SELECT router.conninfo(commerce.cell_of(id))';
CREATE FUNCTION router.conninfo_of(ids bigint[]) RETURNS text LANGUAGE sql STABLE
AS 'SELECT router.conninfo(commerce.cell_of(ids[1]))';
CREATE FUNCTION router.conninfo_of(id uuid) RETURNS text LANGUAGE sql STABLE
AS 'SELECT router.conninfo(commerce.cell_of_sheet(id))';
$router$
UNION ALL
SELECT pg_catalog.format('INSERT INTO router.cells (number, conninfo) VALUES (%s, %L);', (c ->> 'number')::int, c ->> 'conninfo')
FROM pg_catalog.jsonb_array_elements(cells) AS c
$outer$;
COMMENT ON FUNCTION commerce_private.router_cells(jsonb) IS 'the router''s list of cells, and which of them an id is of';

-- Users sign up by the register in cell 0: the cell that it names is tried again by whoever comes with the same e-mail,
-- so that a reservation whose user was never made is used by the next try.
CREATE FUNCTION commerce_private.router_users()
RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $outer$
SELECT pg_catalog.format($router$
CREATE FUNCTION router.raise_taken(attribute text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = %L, MESSAGE = %L, DETAIL = json_build_object('entity', 'user', 'attribute', attribute);
END
$$;
$router$, e.sqlstate, e.message) FROM commerce.error_codes() e WHERE e.code = 'ALREADY_EXISTS'
UNION ALL
SELECT commerce_private.router_at_cell(p.oid) FROM pg_catalog.pg_proc p
WHERE p.pronamespace = 'commerce'::regnamespace AND p.proname IN ('create_user', 'sign_up', 'update_user', 'find_user')
UNION ALL
SELECT $router$
CREATE FUNCTION router.cell_of_new_user(email text, external_id text, idempotency_key text, staff boolean) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	wanted int;
	reserved int;
BEGIN
	IF staff THEN
		PERFORM router.keep_unique(0, email, external_id);
		RETURN 0;
	END IF;
	SELECT c.number INTO wanted FROM router.cells c WHERE c.takes_users ORDER BY random() LIMIT 1;
	IF wanted IS NULL THEN
		RAISE EXCEPTION 'no cell takes new users' USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'UPDATE router.cells SET takes_users = true WHERE number = 0';
	END IF;
	IF email IS NULL AND external_id IS NULL THEN
		IF idempotency_key IS NULL THEN
			RETURN wanted;
		END IF;
		-- the repetition has to come to the same cell
		external_id := 'create_user ' || encode(sha256(convert_to(idempotency_key, 'UTF8')), 'hex');
	END IF;
	reserved := commerce.reserve_user(email, external_id, wanted);
	IF reserved <> wanted THEN
		reserved := commerce.reserve_user(email, external_id, reserved);
	END IF;
	-- cell 0 would take whoever is in a cell that this router does not know
	IF NOT EXISTS (SELECT FROM router.cells c WHERE c.number = reserved) THEN
		RAISE EXCEPTION 'cell %, which has this user, is not in the list', reserved
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'router.cells has to have all cells.';
	END IF;
	RETURN reserved;
END
$$;
-- For who can be in this cell only. What is reserved for another one can be had when nobody there has it.
CREATE FUNCTION router.reserve(email text, external_id text, cell int) RETURNS int LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	reserved int := commerce.reserve_user(email, external_id, cell);
BEGIN
	IF reserved <> cell AND EXISTS (SELECT FROM router.cells c WHERE c.number = reserved)
		AND NOT EXISTS (SELECT FROM router.users_by(email, external_id)) THEN
		reserved := commerce.reserve_user(email, external_id, cell, unused_in => reserved);
	END IF;
	RETURN reserved;
END
$$;
CREATE FUNCTION router.keep_unique(user_id bigint, email text, external_id text) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	cell int := commerce.cell_of(user_id);
BEGIN
	IF email IS NOT NULL AND router.reserve(email, NULL, cell) <> cell THEN
		PERFORM router.raise_taken('email');
	END IF;
	IF external_id IS NOT NULL AND router.reserve(NULL, external_id, cell) <> cell THEN
		PERFORM router.raise_taken('external_id');
	END IF;
END
$$;
CREATE FUNCTION router.users_by(of_email text, of_external_id text) RETURNS SETOF commerce.users LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL;
	SELECT $router$ || commerce_private.router_columns('commerce.users') || $router$ FROM commerce.users l
	WHERE (lower(l.email) = lower(of_email) OR l.external_id = of_external_id) AND commerce.cell_of(l.id) = commerce.cell_number();
$$;
CREATE FUNCTION router.has_user(at_cell int, of_external_id text) RETURNS boolean LANGUAGE plproxy AS $$
	CONNECT router.conninfo(at_cell);
	SELECT EXISTS (SELECT FROM commerce.users l WHERE l.external_id = of_external_id);
$$;$router$
UNION ALL
SELECT commerce_private.router_head(p.oid, 'plpgsql', false) || pg_catalog.quote_literal(pg_catalog.format(b.body, b.arguments)) || ';'
FROM (SELECT p.oid, p.proname, (SELECT pg_catalog.string_agg(pg_catalog.format('%I.%I', p.proname, a.name), ', ' ORDER BY a.position)
								FROM pg_catalog.unnest(p.proargnames) WITH ORDINALITY AS a (name, position)) AS arguments
	  FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'commerce'::regnamespace) AS p
JOIN LATERAL (VALUES
	('create_user', p.arguments, $b$
BEGIN
	RETURN router.create_user(router.cell_of_new_user(create_user.email, create_user.external_id, create_user.idempotency_key, coalesce(create_user.role <> 'BUYER', false)), %s);
END
$b$),
	('sign_up', p.arguments, $b$
DECLARE
	known int;
BEGIN
	-- who has signed up already is not asked for an e-mail
	IF sign_up.external_id IS NOT NULL THEN
		known := commerce.reserve_user(NULL, sign_up.external_id, NULL);
	END IF;
	IF known IS NULL OR NOT router.has_user(known, sign_up.external_id) THEN
		known := router.cell_of_new_user(sign_up.email, sign_up.external_id, NULL, false);
	END IF;
	RETURN router.sign_up(known, %1$s);
END
$b$),
	('update_user', p.arguments, $b$
BEGIN
	PERFORM router.keep_unique(update_user.user_id, update_user.email, update_user.external_id)
	WHERE EXISTS (SELECT FROM router.cells c WHERE c.number = commerce.cell_of(update_user.user_id));
	RETURN router.update_user(commerce.cell_of(update_user.user_id), %s);
END
$b$),
	('find_user', p.arguments, $b$
DECLARE
	found commerce.users;
BEGIN
	IF num_nonnulls(%1$s) = 1 THEN
		-- several: check_cells() tells of it; who came first is not put out
		SELECT * INTO found FROM router.users_by(%1$s) u ORDER BY u.created_at, u.id LIMIT 1;
	END IF;
	IF found.id IS NULL THEN
		found := router.find_user(0, %1$s);
	END IF;
	RETURN found;
END
$b$)) AS b (name, arguments, body) ON b.name = p.proname
$outer$;
COMMENT ON FUNCTION commerce_private.router_users() IS 'the router''s functions that make and find users';

-- What is asked of all cells.
CREATE FUNCTION commerce_private.router_merges()
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $outer$
SELECT $router$
CREATE FUNCTION router.available_stock(of_product bigint) RETURNS SETOF bigint LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL;
	SELECT coalesce((SELECT a.available FROM commerce.allotments a WHERE a.kind = 'STOCK' AND a.resource_id = of_product),
					CASE commerce.cell_number() WHEN 0 THEN commerce.available_stock(of_product) ELSE 0 END);
$$;
CREATE FUNCTION router.check_invariants(OUT cell int, OUT invariant text, OUT violations bigint) RETURNS SETOF record LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL;
	SELECT commerce.cell_number() AS cell, i.invariant, i.violations FROM commerce.check_invariants() i;
$$;
CREATE FUNCTION router.metrics(of_part text, OUT name text, OUT labels jsonb, OUT value double precision) RETURNS SETOF record LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL;
	SELECT m.name, m.labels || jsonb_build_object('cell', commerce.cell_number()) AS labels, m.value FROM commerce.metrics(of_part) m;
$$;
CREATE FUNCTION router.popular_products(of_days int, of_top int, OUT cell int, OUT product_id bigint, OUT name text, OUT price bigint, OUT price_now bigint,
		OUT units_sold bigint, OUT as_of timestamptz) RETURNS SETOF record LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL;
	SELECT commerce.cell_number() AS cell, p.product_id, p.name, p.price, p.price_now, p.units_sold, p.as_of
	FROM commerce.popular_products(of_days, CASE WHEN of_top BETWEEN 1 AND 1000 THEN 1000 ELSE of_top END) p;
$$;
CREATE FUNCTION router.sales_report(of_seller bigint, since date, until date) RETURNS TABLE (day date, product_id bigint, fact text, units bigint, gross bigint,
		own_discounts bigint, shop_discounts bigint, shipping bigint, deductions bigint, refunds bigint, net bigint, tax_free bigint) LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL; SELECT r.day, r.product_id, r.fact, r.units, r.gross, r.own_discounts, r.shop_discounts, r.shipping, r.deductions, r.refunds, r.net, r.tax_free
	FROM commerce.sales_report(of_seller, since, until) r;
$$;
CREATE FUNCTION router.list_orders(seen bigint[], of_rows int, of_user bigint, of_seller bigint, of_status commerce.order_status)
RETURNS SETOF commerce.order_list LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL;
	SELECT $router$ || commerce_private.router_columns('commerce.order_list') || $router$ FROM commerce.order_list l
	WHERE l.id < coalesce((SELECT min(s.id) FROM unnest(seen) AS s (id) WHERE commerce.cell_of(s.id) = commerce.cell_number()), 9223372036854775807)
	  AND (of_user IS NULL OR l.user_id = of_user) AND (of_status IS NULL OR l.status = of_status)
	  AND (of_seller IS NULL OR EXISTS (SELECT FROM commerce.order_items i WHERE i.order_id = l.id AND i.seller_id = of_seller))
	ORDER BY l.id DESC LIMIT of_rows;
$$;
CREATE FUNCTION router.list_users(seen bigint[], of_rows int, of_role commerce.user_role, of_status commerce.user_status)
RETURNS SETOF commerce.users LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL;
	SELECT $router$ || commerce_private.router_columns('commerce.users') || $router$ FROM commerce.users l
	WHERE l.id < coalesce((SELECT min(s.id) FROM unnest(seen) AS s (id) WHERE commerce.cell_of(s.id) = commerce.cell_number()), 9223372036854775807)
	  AND l.id >= commerce.cell_number() * 1000000000000
	  AND (of_role IS NULL OR l.role = of_role) AND (of_status IS NULL OR l.status = of_status)
	ORDER BY l.id DESC LIMIT of_rows;
$$;
CREATE FUNCTION router.list_products(after_id bigint, of_rows int) RETURNS SETOF commerce.product_list LANGUAGE plproxy AS $$
	CONNECT router.conninfo(0);
	SELECT $router$ || commerce_private.router_columns('commerce.product_list') || $router$ FROM commerce.product_list l
	WHERE l.id > after_id ORDER BY l.id LIMIT of_rows;
$$;
CREATE FUNCTION router.list_coupons(after_id bigint, of_rows int) RETURNS SETOF commerce.coupon_list LANGUAGE plproxy AS $$
	CONNECT router.conninfo(0);
	SELECT $router$ || commerce_private.router_columns('commerce.coupon_list') || $router$ FROM commerce.coupon_list l
	WHERE l.id > after_id ORDER BY l.id LIMIT of_rows;
$$;
CREATE FUNCTION router.allotments(of_kind commerce.unit_kind, ids bigint[], OUT resource_id bigint, OUT available bigint) RETURNS SETOF record LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL;
	SELECT a.resource_id, a.available FROM commerce.allotments a WHERE a.kind = of_kind AND a.resource_id = ANY (ids);
$$;

CREATE FUNCTION commerce.available_stock(product_id bigint) RETURNS bigint LANGUAGE sql
AS 'SELECT sum(n)::bigint FROM router.available_stock(product_id) AS n';
CREATE FUNCTION commerce.check_invariants() RETURNS TABLE (invariant text, violations bigint) LANGUAGE sql
AS 'SELECT i.invariant, sum(i.violations)::bigint FROM router.check_invariants() i GROUP BY 1 ORDER BY 1';
CREATE FUNCTION commerce.metrics(part text DEFAULT NULL) RETURNS TABLE (name text, labels jsonb, value double precision) LANGUAGE sql
AS 'SELECT * FROM router.metrics(part)';
CREATE FUNCTION commerce.popular_products(days int DEFAULT 3, top int DEFAULT 5)
RETURNS TABLE (rank int, product_id bigint, name text, price bigint, price_now bigint, units_sold bigint, as_of timestamptz) LANGUAGE sql AS $$
	SELECT row_number() OVER (ORDER BY s.units DESC, s.product_id)::int, s.product_id, s.names[1], s.prices[1], s.prices_now[1], s.units, s.as_of
	FROM (SELECT p.product_id, array_agg(p.name ORDER BY p.cell) AS names, array_agg(p.price ORDER BY p.cell) AS prices,
				 array_agg(p.price_now ORDER BY p.cell) AS prices_now, sum(p.units_sold)::bigint AS units, min(p.as_of) AS as_of
		  FROM router.popular_products(popular_products.days, popular_products.top) p GROUP BY p.product_id) s
	ORDER BY 1 LIMIT top
$$;
CREATE FUNCTION commerce.sales_report(seller_id bigint, from_date date, to_date date) RETURNS TABLE (day date, product_id bigint, fact text, units bigint,
		gross bigint, own_discounts bigint, shop_discounts bigint, shipping bigint, deductions bigint, refunds bigint, net bigint, tax_free bigint) LANGUAGE sql AS $$
	SELECT r.day, r.product_id, r.fact, sum(r.units)::bigint, sum(r.gross)::bigint, sum(r.own_discounts)::bigint, sum(r.shop_discounts)::bigint,
		   sum(r.shipping)::bigint, sum(r.deductions)::bigint, sum(r.refunds)::bigint, sum(r.net)::bigint, sum(r.tax_free)::bigint
	FROM router.sales_report(sales_report.seller_id, from_date, to_date) r GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
$$;

CREATE FUNCTION router.check_rows(max_rows int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF max_rows BETWEEN 1 AND 1000 THEN
		RETURN max_rows;
	END IF;
	RAISE EXCEPTION 'invalid request' USING ERRCODE = 'invalid_parameter_value', DETAIL = '{"argument": "max_rows", "reason": "must be from 1 to 1000"}';
END
$$;
-- Of each cell a page has the next ids, however old what they name is: what was imported is older than its id.
CREATE FUNCTION router.order_page(seen bigint[] DEFAULT '{}', max_rows int DEFAULT 100, user_id bigint DEFAULT NULL, seller_id bigint DEFAULT NULL,
		status commerce.order_status DEFAULT NULL) RETURNS SETOF commerce.order_list LANGUAGE sql AS $$
	SELECT * FROM router.list_orders(seen, router.check_rows(max_rows), user_id, seller_id, status) o
	ORDER BY min(o.created_at) OVER (PARTITION BY commerce.cell_of(o.id) ORDER BY o.id DESC) DESC, o.id DESC LIMIT max_rows
$$;
COMMENT ON FUNCTION router.order_page(bigint[], int, bigint, bigint, commerce.order_status) IS
	'orders of all cells, the newest first, with their items: all, or those of a user, with a seller''s items, of a status. seen: ids of what the caller has seen, of which the lowest of each cell counts; the next page comes after them';
CREATE FUNCTION router.user_page(seen bigint[] DEFAULT '{}', max_rows int DEFAULT 100, role commerce.user_role DEFAULT NULL,
		status commerce.user_status DEFAULT NULL) RETURNS SETOF commerce.users LANGUAGE sql AS $$
	SELECT * FROM router.list_users(seen, router.check_rows(max_rows), role, status) u
	ORDER BY min(u.created_at) OVER (PARTITION BY commerce.cell_of(u.id) ORDER BY u.id DESC) DESC, u.id DESC LIMIT max_rows
$$;
COMMENT ON FUNCTION router.user_page(bigint[], int, commerce.user_role, commerce.user_status) IS 'users of all cells, the newest first; seen: as of order_page()';
CREATE FUNCTION router.product_page(after_id bigint DEFAULT 0, max_rows int DEFAULT 100) RETURNS SETOF commerce.product_list LANGUAGE plpgsql AS $$
DECLARE
	page commerce.product_list[] := ARRAY(SELECT p FROM router.list_products(after_id, router.check_rows(max_rows)) p);
BEGIN
	RETURN QUERY
		SELECT (jsonb_populate_record(p, jsonb_build_object('stock', s.units,
			'status', CASE WHEN p.status = 'ON_SALE' AND s.units = 0 OR p.status = 'SOLD_OUT' AND s.units > 0 THEN CASE s.units WHEN 0 THEN 'SOLD_OUT' ELSE 'ON_SALE' END ELSE p.status::text END))).*
		FROM unnest(page) AS p
		LEFT JOIN (SELECT a.resource_id, sum(a.available)::bigint AS units FROM router.allotments('STOCK', ARRAY(SELECT q.id FROM unnest(page) AS q)) a GROUP BY 1) s ON s.resource_id = p.id
		ORDER BY p.id;
END
$$;
COMMENT ON FUNCTION router.product_page(bigint, int) IS 'the catalogue by id, behind the id after_id, with the stock of all cells';
CREATE FUNCTION router.coupon_page(after_id bigint DEFAULT 0, max_rows int DEFAULT 100) RETURNS SETOF commerce.coupon_list LANGUAGE plpgsql AS $$
DECLARE
	page commerce.coupon_list[] := ARRAY(SELECT c FROM router.list_coupons(after_id, router.check_rows(max_rows)) c);
BEGIN
	RETURN QUERY
		SELECT (jsonb_populate_record(c, jsonb_build_object('remaining', s.units,
			'status', CASE WHEN c.status IN ('ACTIVE', 'EXHAUSTED') THEN CASE s.units WHEN 0 THEN 'EXHAUSTED' ELSE 'ACTIVE' END ELSE c.status::text END))).*
		FROM unnest(page) AS c
		LEFT JOIN (SELECT a.resource_id, sum(a.available)::bigint AS units FROM router.allotments('QUOTA', ARRAY(SELECT q.id FROM unnest(page) AS q)) a GROUP BY 1) s ON s.resource_id = c.id
		ORDER BY c.id;
END
$$;
COMMENT ON FUNCTION router.coupon_page(bigint, int) IS 'coupons by id, behind the id after_id, with how many are left in all cells';
$router$
$outer$;
COMMENT ON FUNCTION commerce_private.router_merges() IS 'the router''s functions that ask all cells, and lists of all cells by pages';

CREATE FUNCTION commerce_private.router_checks()
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $outer$
SELECT $router$
CREATE FUNCTION router.books(OUT cell int, OUT kind commerce.unit_kind, OUT resource_id bigint, OUT made bigint, OUT sent bigint, OUT received bigint, OUT open bigint)
RETURNS SETOF record LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL;
	SELECT commerce.cell_number() AS cell, b.kind, b.resource_id, b.made, b.sent, b.received, b.open FROM commerce.cell_books() b;
$$;
CREATE FUNCTION router.quantities(OUT coupon_id bigint, OUT quantity bigint) RETURNS SETOF record LANGUAGE plproxy AS $$
	CONNECT router.conninfo(0);
	SELECT c.id AS coupon_id, c.quantity FROM commerce.coupons c;
$$;
CREATE FUNCTION router.emails(OUT cell int, OUT user_id bigint, OUT hash text) RETURNS SETOF record LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL;
	SELECT commerce.cell_number() AS cell, u.id AS user_id, h.kind || ':' || md5(h.value) AS hash
	FROM commerce.users u CROSS JOIN LATERAL (VALUES ('email', lower(u.email)), ('external_id', u.external_id)) AS h (kind, value)
	WHERE h.value IS NOT NULL AND commerce.cell_of(u.id) = commerce.cell_number();
$$;
CREATE FUNCTION router.settings(OUT cell int, OUT name text, OUT setting text) RETURNS SETOF record LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL;
	SELECT commerce.cell_number() AS cell, s.name, s.setting FROM pg_settings s
	WHERE s.name LIKE 'commerce.%' AND s.context IN ('superuser', 'user') AND s.name <> ALL ('{commerce.language,commerce.maintenance,commerce.outbox_retention}')
	UNION ALL SELECT commerce.cell_number(), 'version of commerce', e.extversion FROM pg_extension e WHERE e.extname = 'commerce';
$$;
CREATE FUNCTION router.numbers(OUT number int) RETURNS SETOF int LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL; SELECT commerce.cell_number() AS number;
$$;
CREATE FUNCTION commerce.check_cells() RETURNS TABLE (cell int, problem text, detail jsonb) LANGUAGE sql AS $$
	SELECT NULL::int, 'the list of cells is wrong', jsonb_build_object('listed', (SELECT jsonb_agg(c.number ORDER BY c.number) FROM router.cells c), 'there', jsonb_agg(n.number ORDER BY n.number))
	FROM router.numbers() n HAVING array_agg(n.number ORDER BY n.number) IS DISTINCT FROM (SELECT array_agg(c.number ORDER BY c.number) FROM router.cells c)
	UNION ALL
	SELECT i.cell, i.invariant, jsonb_build_object('violations', i.violations) FROM router.check_invariants() i
	UNION ALL
	SELECT NULL, 'units were sent and did not arrive, or the other way round',
		   jsonb_build_object('kind', b.kind, 'id', b.resource_id, 'sent', sum(b.sent), 'received', sum(b.received), 'open', sum(b.open))
	FROM router.books() b GROUP BY b.kind, b.resource_id HAVING sum(b.sent) - sum(b.received) NOT BETWEEN 0 AND sum(b.open)
	UNION ALL
	SELECT NULL, 'the allotments of a coupon do not add up to its quantity', jsonb_build_object('id', q.coupon_id, 'quantity', q.quantity, 'made', b.made)
	FROM (SELECT m.resource_id, sum(m.made) AS made FROM router.books() m WHERE m.kind = 'QUOTA' GROUP BY 1) b JOIN router.quantities() q ON q.coupon_id = b.resource_id
	WHERE b.made <> q.quantity
	UNION ALL
	SELECT NULL, split_part(e.hash, ':', 1) || ' is that of several users', jsonb_build_object('users', jsonb_agg(e.user_id ORDER BY e.user_id))
	FROM router.emails() e GROUP BY e.hash HAVING count(*) > 1
	UNION ALL
	SELECT NULL, s.name || ' differs', jsonb_object_agg(s.cell, s.setting) FROM router.settings() s GROUP BY s.name HAVING count(DISTINCT s.setting) > 1
$$;
COMMENT ON FUNCTION commerce.check_cells() IS
	'what is wrong: in a cell, as its check_invariants() says; over all: units that were sent and neither arrived nor are on the way, a coupon''s allotments, e-mails and external ids of two users, settings that differ, a wrong list of cells. Empty: the books of all cells are in order. Sums are of moments that differ by what is on the way';

CREATE FUNCTION commerce.grant_app(role regrole) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('GRANT USAGE ON SCHEMA commerce, router, plproxy TO %s', role);
	EXECUTE format('GRANT SELECT ON router.cells, router.version TO %s', role);
	EXECUTE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA commerce, router, plproxy TO %s', role);
	EXECUTE format('REVOKE EXECUTE ON FUNCTION commerce.grant_app(regrole), commerce.revoke_app(regrole) FROM %s', role);
END
$$;
CREATE FUNCTION commerce.revoke_app(role regrole) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA commerce, router, plproxy FROM %s', role);
	EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA router FROM %s', role);
	EXECUTE format('REVOKE ALL ON SCHEMA commerce, router, plproxy FROM %s', role);
END
$$;
$router$
$outer$;
COMMENT ON FUNCTION commerce_private.router_checks() IS 'the router''s check_cells(), and who may use it';

CREATE FUNCTION commerce.router_sql(cells jsonb)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	problem text := CASE
		WHEN pg_catalog.jsonb_typeof(cells) IS DISTINCT FROM 'array' THEN 'must be an array of objects {"number": 0, "conninfo": "host=a dbname=shop"}'
		WHEN EXISTS (SELECT FROM pg_catalog.jsonb_array_elements(cells) AS c
					 WHERE pg_catalog.jsonb_typeof(c -> 'number') IS DISTINCT FROM 'number' OR pg_catalog.jsonb_typeof(c -> 'conninfo') IS DISTINCT FROM 'string'
						OR c ->> 'number' !~ '^([0-8]\d{3}|\d{1,3})$')
			THEN 'must be an array of objects {"number": 0, "conninfo": "host=a dbname=shop"}, with numbers from 0 to 8999'
		WHEN (SELECT count(*) FILTER (WHERE c -> 'number' = '0') <> 1 OR count(DISTINCT c -> 'number') <> count(*) FROM pg_catalog.jsonb_array_elements(cells) AS c)
			THEN 'must have cell 0, and each cell once' END;
BEGIN
	IF problem IS NOT NULL THEN
		PERFORM commerce_private.raise_invalid('cells', problem);
	END IF;
	RETURN pg_catalog.concat_ws(E'\n',
		'BEGIN; CREATE EXTENSION IF NOT EXISTS plproxy; CREATE SCHEMA plproxy; CREATE SCHEMA router; CREATE SCHEMA commerce;',
		(SELECT pg_catalog.string_agg(t, E'\n') FROM commerce_private.router_types() AS t),
		(SELECT pg_catalog.string_agg(c, E'\n') FROM commerce_private.router_cells(cells) AS c),
		commerce_private.router_functions('{row,catalogue,sum}'),
		(SELECT pg_catalog.string_agg(u, E'\n') FROM commerce_private.router_users() AS u),
		commerce_private.router_merges(), commerce_private.router_checks(),
		commerce_private.router_functions('{own}'),
		'REVOKE ALL ON ALL FUNCTIONS IN SCHEMA commerce, router, plproxy FROM PUBLIC;',
		-- PL/Proxy tells of every connection that it gives up, which is one for each refusal
		'DO $do$ BEGIN EXECUTE format(''ALTER DATABASE %I SET client_min_messages = warning'', current_database()); END $do$; COMMIT;');
END
$$;
COMMENT ON FUNCTION commerce.router_sql(jsonb) IS
	'what makes an empty database the router of these cells, [{"number": 0, "conninfo": "host=a dbname=shop"}]: functions of the contract''s names and arguments, made from the catalog of this database, that call those of the cell which has the row, by the language plproxy. Run it there as a superuser; after an update of the cells, in a new database. Errors: INVALID_REQUEST';

-- sql/install/events/subscription.sql

-- Subscriptions: cursors into the outbox, and reading from them.

CREATE TYPE commerce.sink_kind AS ENUM ('NONE', 'HTTP', 'KAFKA');
COMMENT ON TYPE commerce.sink_kind IS 'where commerce-relay delivers a subscription; NONE: a client pulls it';

CREATE TABLE commerce.subscriptions (
	name            text PRIMARY KEY CHECK (pg_catalog.char_length(name) BETWEEN 1 AND 63 AND name = pg_catalog.btrim(name)),
	event_types     text[],
	era             bigint NOT NULL,
	key             bigint NOT NULL,
	position        bigint NOT NULL,
	created_at      timestamptz NOT NULL DEFAULT pg_catalog.now(),
	paused_at       timestamptz,
	pause_reason    text,
	sink            commerce.sink_kind NOT NULL DEFAULT 'NONE',
	url             text,
	brokers         text,
	topic           text,
	secret_name     text,
	batch_size      int NOT NULL DEFAULT 1 CHECK (batch_size BETWEEN 1 AND 1000),
	max_attempts    int NOT NULL DEFAULT 10 CHECK (max_attempts BETWEEN 1 AND 100),
	attempts        bigint NOT NULL DEFAULT 0,
	delivered       bigint NOT NULL DEFAULT 0,
	failures        bigint NOT NULL DEFAULT 0,
	last_success_at timestamptz,
	last_error      text,
	last_error_at   timestamptz,
	CONSTRAINT subscriptions_sink_check CHECK (
		CASE sink WHEN 'HTTP' THEN url ~ '^https?://[^/?#@\s]+([/?#]\S*)?$' AND brokers IS NULL AND topic IS NULL
				  WHEN 'KAFKA' THEN url IS NULL AND brokers <> '' AND topic ~ '^[a-zA-Z0-9._-]{1,249}$'
				  ELSE pg_catalog.num_nonnulls(url, brokers, topic, secret_name) = 0 END IS TRUE)
) WITH (fillfactor = 50);
COMMENT ON TABLE commerce.subscriptions IS 'who reads the outbox, and how far each has come; see the view subscription_status';
COMMENT ON COLUMN commerce.subscriptions.event_types IS 'only events of these types; NULL: all';
COMMENT ON COLUMN commerce.subscriptions.era IS 'the cursor, first part: events up to and including (era, key, position) are acknowledged';
COMMENT ON COLUMN commerce.subscriptions.key IS 'the cursor, second part';
COMMENT ON COLUMN commerce.subscriptions.position IS 'the cursor, third part';
COMMENT ON COLUMN commerce.subscriptions.paused_at IS 'while it is set, fetch_events() returns nothing';
COMMENT ON COLUMN commerce.subscriptions.url IS 'HTTP: where to POST';
COMMENT ON COLUMN commerce.subscriptions.brokers IS 'KAFKA: bootstrap servers, host:port, comma-separated';
COMMENT ON COLUMN commerce.subscriptions.secret_name IS 'name of a secret in the relay''s own file; the secret itself is never in the database';
COMMENT ON COLUMN commerce.subscriptions.batch_size IS 'HTTP: most events in one request; 1: each event alone';
COMMENT ON COLUMN commerce.subscriptions.max_attempts IS 'an event that has failed so often becomes a dead letter';
COMMENT ON COLUMN commerce.subscriptions.attempts IS 'deliveries that the relay tried';
SELECT pg_catalog.pg_extension_config_dump('commerce.subscriptions', '');

-- Positions and the horizon (src/events/subscription.c). Functions that walk the outbox in its order have settings
-- by which they are always planned as a walk of the index, and not compiled: what they do ends after a
-- few rows, which the planner cannot know.

CREATE FUNCTION commerce_private.format_position(era bigint, key bigint, "position" bigint)
RETURNS text
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_format_position';
COMMENT ON FUNCTION commerce_private.format_position(bigint, bigint, bigint) IS
	'an event''s position as fetch_events() returns it: era, key and position as hexadecimal numbers of fixed width, so that text order is reading order';

CREATE FUNCTION commerce_private.parse_position("position" text, OUT era bigint, OUT key bigint, OUT number bigint)
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_parse_position';
COMMENT ON FUNCTION commerce_private.parse_position(text) IS
	'the reverse of format_position(). Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.system_identifier()
RETURNS bigint
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_system_identifier';
COMMENT ON FUNCTION commerce_private.system_identifier() IS 'of this cluster';

CREATE FUNCTION commerce_private.outbox_horizon(OUT era bigint, OUT key bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce((SELECT o.era FROM commerce_private.origin o WHERE o.system_identifier = commerce_private.system_identifier()),
					9223372036854775807),
		   commerce_private.to_key(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()))
$$;
COMMENT ON FUNCTION commerce_private.outbox_horizon() IS
	'events with (era, key) below this can be read under the same snapshot: nothing can come in among them any more. Eras before the current one are closed, as are all when this cluster has not written here yet';

CREATE FUNCTION commerce_private.event_before(INOUT era bigint, INOUT key bigint, INOUT "position" bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	found_event record;
BEGIN
	SELECT e.era, e.key, e.position INTO found_event
	FROM commerce.outbox e
	WHERE ROW (e.era, e.key, e.position) < ROW (event_before.era, event_before.key, event_before.position)
	ORDER BY e.era DESC, e.key DESC, e.position DESC LIMIT 1;
	event_before.era := coalesce(found_event.era, 0);
	event_before.key := coalesce(found_event.key, 0);
	event_before.position := coalesce(found_event.position, 0);
END
$$;
COMMENT ON FUNCTION commerce_private.event_before(bigint, bigint, bigint) IS
	'the last event before a cursor, by which a cursor is always at an event; zeros when there is none';

CREATE FUNCTION commerce_private.last_readable(OUT era bigint, OUT key bigint, OUT "position" bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT e.era, e.key, e."position"
	FROM commerce_private.outbox_horizon() h CROSS JOIN LATERAL commerce_private.event_before(h.era, h.key, 0) e
$$;
COMMENT ON FUNCTION commerce_private.last_readable() IS 'cursor of the last event that can be read now';

-- Pulling

CREATE FUNCTION commerce_private.lock_subscription_row(subscription text)
RETURNS commerce.subscriptions
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_row commerce.subscriptions;
BEGIN
	IF lock_subscription_row.subscription IS NULL THEN
		PERFORM commerce_private.raise_invalid('subscription', 'must not be null');
	END IF;
	SELECT * INTO found_row FROM commerce.subscriptions s
	WHERE s.name = lock_subscription_row.subscription FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('subscription', lock_subscription_row.subscription);
	END IF;
	RETURN found_row;
END
$$;
COMMENT ON FUNCTION commerce_private.lock_subscription_row(text) IS
	'locks and returns the row of a subscription. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.wake_relay()
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_wake_relay';
COMMENT ON FUNCTION commerce_private.wake_relay() IS
	'tells who listens that there is something to do; orders never call it, because NOTIFY makes commits wait for each other';

CREATE FUNCTION commerce.subscribe(name text, event_types text[] DEFAULT NULL, from_start boolean DEFAULT true)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	unknown text;
	start record;
BEGIN
	PERFORM commerce_private.check_text('name', subscribe.name),
		commerce_private.check_texts('event_types', subscribe.event_types);
	IF subscribe.name IS NULL OR subscribe.name <> pg_catalog.btrim(subscribe.name)
	   OR pg_catalog.char_length(subscribe.name) NOT BETWEEN 1 AND 63 THEN
		PERFORM commerce_private.raise_invalid('name', 'must be of 1 to 63 characters, without spaces around it');
	END IF;
	IF subscribe.from_start IS NULL THEN
		PERFORM commerce_private.raise_invalid('from_start', 'must not be null');
	END IF;
	IF pg_catalog.cardinality(subscribe.event_types) = 0 THEN
		PERFORM commerce_private.raise_invalid('event_types', 'must not be empty; NULL means all');
	END IF;
	SELECT coalesce(t.type, 'NULL') INTO unknown FROM pg_catalog.unnest(subscribe.event_types) t (type)
	WHERE NOT EXISTS (SELECT FROM commerce.event_types k WHERE k.type = t.type) LIMIT 1;
	IF FOUND THEN
		PERFORM commerce_private.raise_invalid('event_types', pg_catalog.format('name %s, which is no event type', unknown), 'The table commerce.event_types has them all.');
	END IF;

	IF subscribe.from_start THEN
		SELECT 0::bigint AS era, 0::bigint AS key, 0::bigint AS position INTO start;
	ELSE
		SELECT * INTO start FROM commerce_private.last_readable();
	END IF;
	INSERT INTO commerce.subscriptions (name, event_types, era, key, position)
	VALUES (subscribe.name, subscribe.event_types, start.era, start.key, start.position)
	ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_error('ALREADY_EXISTS', pg_catalog.jsonb_build_object('entity', 'subscription', 'attribute', 'name'));
	END IF;
	PERFORM commerce_private.wake_relay();
	RETURN commerce_private.format_position(start.era, start.key, start.position);
END
$$;
COMMENT ON FUNCTION commerce.subscribe(text, text[], boolean) IS
	'makes a subscription and returns the position after which it begins. event_types: only these; NULL: all. from_start: with the oldest event there is, or else with those that come from now on (events written shortly before may come too, while a transaction older than they are is open). Errors: INVALID_REQUEST';

CREATE FUNCTION commerce.unsubscribe(subscription text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.check_text('subscription', unsubscribe.subscription);
	PERFORM commerce_private.lock_subscription_row(unsubscribe.subscription);
	DELETE FROM commerce.subscriptions s WHERE s.name = unsubscribe.subscription;
	PERFORM commerce_private.wake_relay();
END
$$;
COMMENT ON FUNCTION commerce.unsubscribe(text) IS
	'deletes a subscription with its parked events and dead letters. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.fetch_events(subscription text, max_events int DEFAULT 100)
RETURNS TABLE ("position" text, id uuid, type text, aggregatetype text, aggregateid text, payload jsonb,
			   created_at timestamptz, era bigint)
LANGUAGE C STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS 'MODULE_PATHNAME', 'commerce_fetch_events';
COMMENT ON FUNCTION commerce.fetch_events(text, int) IS
	'the next events of a subscription after its cursor, in order, at most max_events (up to 100000); the same again until ack_events(); none while it is paused. era grows when history may have been cut. Writes nothing and works in a read-only transaction and on a standby. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.ack_events(subscription text, up_to text)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	s commerce.subscriptions;
	wanted record;
	last record;
BEGIN
	PERFORM commerce_private.check_text('subscription', ack_events.subscription),
		commerce_private.check_text('up_to', ack_events.up_to);
	SELECT * INTO wanted FROM commerce_private.parse_position(ack_events.up_to);
	s := commerce_private.lock_subscription_row(ack_events.subscription);
	IF ROW (wanted.era, wanted.key, wanted.number) NOT IN (ROW (s.era, s.key, s.position), ROW (0, 0, 0))
	   AND NOT EXISTS (SELECT FROM commerce.outbox e
					   WHERE e.era = wanted.era AND e.key = wanted.key AND e.position = wanted.number)
	   AND NOT EXISTS (SELECT FROM commerce_private.outbox_purged p
					   WHERE ROW (p.era, p.key, p.position) >= ROW (wanted.era, wanted.key, wanted.number)) THEN
		PERFORM commerce_private.raise_invalid('up_to', pg_catalog.format('must be the position of an event: there is none at %s', ack_events.up_to),
			'A position of a history that is gone: this server was promoted without it, or recovered to a moment before it. Compare by event id what both sides have.');
	END IF;
	IF ROW (wanted.era, wanted.key, wanted.number) <= ROW (s.era, s.key, s.position) THEN
		RETURN commerce_private.format_position(s.era, s.key, s.position);
	END IF;
	SELECT * INTO last FROM commerce_private.last_readable();
	IF ROW (wanted.era, wanted.key, wanted.number) > ROW (last.era, last.key, last.position) THEN
		PERFORM commerce_private.raise_invalid('up_to', 'must not be beyond the last event that can have been fetched');
	END IF;
	UPDATE commerce.subscriptions u SET era = wanted.era, key = wanted.key, position = wanted.number
	WHERE u.name = s.name;
	RETURN ack_events.up_to;
END
$$;
COMMENT ON FUNCTION commerce.ack_events(text, text) IS
	'says that the events up to and including this position, as fetch_events() returned it, are dealt with, and returns the cursor. An earlier position than the cursor changes nothing; one at which there is no event, and was none that retention has removed, is an error. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.advance_subscription(subscription text)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	s commerce.subscriptions;
	last record;
	wanted record;
BEGIN
	PERFORM commerce_private.check_text('subscription', advance_subscription.subscription);
	s := commerce_private.lock_subscription_row(advance_subscription.subscription);
	IF s.event_types IS NOT NULL THEN
		SELECT * INTO last FROM commerce_private.last_readable();
		SELECT e.era, e.key, e.position INTO wanted
		FROM commerce.outbox e
		WHERE ROW (e.era, e.key, e.position) > ROW (s.era, s.key, s.position)
		  AND ROW (e.era, e.key, e.position) <= ROW (last.era, last.key, last.position)
		  AND e.type = ANY (s.event_types)
		ORDER BY e.era, e.key, e.position LIMIT 1;
		IF FOUND THEN
			SELECT * INTO wanted FROM commerce_private.event_before(wanted.era, wanted.key, wanted.position);
		ELSE
			wanted := last;
		END IF;
		IF ROW (wanted.era, wanted.key, wanted.position) > ROW (s.era, s.key, s.position) THEN
			UPDATE commerce.subscriptions u SET era = wanted.era, key = wanted.key, position = wanted.position
			WHERE u.name = s.name
			RETURNING u.* INTO s;
		END IF;
	END IF;
	RETURN commerce_private.format_position(s.era, s.key, s.position);
END
$$;
COMMENT ON FUNCTION commerce.advance_subscription(text) IS
	'moves the cursor past events that the subscription does not want (event_types) and returns it, so that the next fetch_events() need not look at them again. Nothing that it wants is passed. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.pause_subscription(subscription text, reason text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.check_text('subscription', pause_subscription.subscription),
		commerce_private.check_text('reason', pause_subscription.reason);
	PERFORM commerce_private.lock_subscription_row(pause_subscription.subscription);
	UPDATE commerce.subscriptions s
	SET paused_at = coalesce(s.paused_at, pg_catalog.clock_timestamp()), pause_reason = pause_subscription.reason
	WHERE s.name = pause_subscription.subscription;
	PERFORM commerce_private.wake_relay();
END
$$;
COMMENT ON FUNCTION commerce.pause_subscription(text, text) IS
	'lets fetch_events() return nothing, and the relay deliver nothing, until resume_subscription(); what was fetched can still be acknowledged. Its events are kept meanwhile. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.resume_subscription(subscription text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.check_text('subscription', resume_subscription.subscription);
	PERFORM commerce_private.lock_subscription_row(resume_subscription.subscription);
	UPDATE commerce.subscriptions s SET paused_at = NULL, pause_reason = NULL
	WHERE s.name = resume_subscription.subscription;
	PERFORM commerce_private.wake_relay();
END
$$;
COMMENT ON FUNCTION commerce.resume_subscription(text) IS
	'ends a pause. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.seek_subscription(
	subscription text, to_position text DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	wanted record;
	last record;
	sought commerce.subscriptions;
BEGIN
	PERFORM commerce_private.check_text('subscription', seek_subscription.subscription),
		commerce_private.check_text('to_position', seek_subscription.to_position);
	IF pg_catalog.num_nonnulls(seek_subscription.to_position, seek_subscription.to_time) <> 1 THEN
		PERFORM commerce_private.raise_invalid('to_position', 'must be given, or to_time, and not both');
	END IF;
	sought := commerce_private.lock_subscription_row(seek_subscription.subscription);
	IF NOT commerce_private.try_lock_subscription(sought.name, false) THEN
		PERFORM commerce_private.raise_error('SERVICE_BUSY', '{"reason": "BEING_DELIVERED"}', 'Pause the subscription first: whoever delivers it would move the cursor on.');
	END IF;
	SELECT * INTO last FROM commerce_private.last_readable();
	IF seek_subscription.to_position IS NOT NULL THEN
		SELECT p.era, p.key, p.number AS position INTO wanted
		FROM commerce_private.parse_position(seek_subscription.to_position) p;
		IF ROW (wanted.era, wanted.key, wanted.position) > ROW (last.era, last.key, last.position)
		   AND ROW (wanted.era, wanted.key, wanted.position) > ROW (sought.era, sought.key, sought.position) THEN
			PERFORM commerce_private.raise_invalid('to_position', 'must not be beyond the last event that can have been fetched');
		END IF;
		IF EXISTS (SELECT FROM commerce_private.outbox_purged p
				   WHERE ROW (p.era, p.key, p.position) > ROW (wanted.era, wanted.key, wanted.position)) THEN
			PERFORM commerce_private.raise_invalid('to_position', 'must not be before events that retention has removed', 'An earlier to_time goes to the oldest event that is left.');
		END IF;
	ELSE
		SELECT e.era, e.key, e.position INTO wanted
		FROM commerce.outbox e
		WHERE e.created_at >= seek_subscription.to_time
		  AND ROW (e.era, e.key, e.position) <= ROW (last.era, last.key, last.position)
		ORDER BY e.era, e.key, e.position LIMIT 1;
		IF FOUND THEN
			SELECT * INTO wanted FROM commerce_private.event_before(wanted.era, wanted.key, wanted.position);
		ELSE
			wanted := last;
		END IF;
	END IF;
	UPDATE commerce.subscriptions s SET era = wanted.era, key = wanted.key, position = wanted.position
	WHERE s.name = sought.name;
	-- these will be fetched again
	DELETE FROM commerce_private.parked_events p
	WHERE p.subscription = sought.name AND p.died_at IS NULL
	  AND ROW (p.era, p.key, p.position) > ROW (wanted.era, wanted.key, wanted.position)
	  AND EXISTS (SELECT FROM commerce.outbox e WHERE e.era = p.era AND e.key = p.key AND e.position = p.position);
	PERFORM commerce_private.wake_relay();
	RETURN commerce_private.format_position(wanted.era, wanted.key, wanted.position);
END
$$;
COMMENT ON FUNCTION commerce.seek_subscription(text, text, timestamptz) IS
	'sets the cursor, back or forth, and returns it: to a position, after which the next fetch_events() begins, or to the first event written at a time or later (and to the end when there is none). Refused while a session delivers the subscription: pause it first. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, SERVICE_BUSY';

-- sql/install/events/sink.sql

-- Where commerce-relay delivers a subscription.

CREATE FUNCTION commerce.set_http_sink(
	subscription text, url text, secret_name text DEFAULT NULL, batch_size int DEFAULT 1, max_attempts int DEFAULT 10)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM commerce_private.check_text('subscription', set_http_sink.subscription),
		commerce_private.check_text('url', set_http_sink.url),
		commerce_private.check_text('secret_name', set_http_sink.secret_name);
	IF set_http_sink.url IS NULL OR set_http_sink.url !~ '^https?://[^/?#@\s]+([/?#]\S*)?$' THEN
		PERFORM commerce_private.raise_invalid('url', 'must begin with http:// or https:// and name a host, without a user or password', 'Credentials belong into the relay''s file.');
	END IF;
	IF set_http_sink.batch_size IS NULL OR set_http_sink.batch_size NOT BETWEEN 1 AND 1000 THEN
		PERFORM commerce_private.raise_invalid('batch_size', 'must be from 1 to 1000');
	END IF;
	IF set_http_sink.max_attempts IS NULL OR set_http_sink.max_attempts NOT BETWEEN 1 AND 100 THEN
		PERFORM commerce_private.raise_invalid('max_attempts', 'must be from 1 to 100');
	END IF;
	PERFORM commerce_private.lock_subscription_row(set_http_sink.subscription);
	UPDATE commerce.subscriptions s
	SET sink = 'HTTP', url = set_http_sink.url, brokers = NULL, topic = NULL, secret_name = set_http_sink.secret_name,
		batch_size = set_http_sink.batch_size, max_attempts = set_http_sink.max_attempts
	WHERE s.name = set_http_sink.subscription;
	PERFORM commerce_private.wake_relay();
END
$$;
COMMENT ON FUNCTION commerce.set_http_sink(text, text, text, int, int) IS
	'lets commerce-relay POST a subscription''s events to url. secret_name: of the signing secret in the relay''s file; batch_size: most events in one request, 1 for each alone; max_attempts: after which an event becomes a dead letter. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.set_kafka_sink(
	subscription text, brokers text, topic text, secret_name text DEFAULT NULL, max_attempts int DEFAULT 10)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM commerce_private.check_text('subscription', set_kafka_sink.subscription),
		commerce_private.check_text('brokers', set_kafka_sink.brokers),
		commerce_private.check_text('topic', set_kafka_sink.topic),
		commerce_private.check_text('secret_name', set_kafka_sink.secret_name);
	IF pg_catalog.btrim(coalesce(set_kafka_sink.brokers, '')) = '' THEN
		PERFORM commerce_private.raise_invalid('brokers', 'must name the bootstrap servers, such as kafka1:9092,kafka2:9092');
	END IF;
	IF set_kafka_sink.topic IS NULL OR set_kafka_sink.topic !~ '^[a-zA-Z0-9._-]{1,249}$' THEN
		PERFORM commerce_private.raise_invalid('topic', 'must be of 1 to 249 letters, digits, dots, underscores and hyphens');
	END IF;
	IF set_kafka_sink.max_attempts IS NULL OR set_kafka_sink.max_attempts NOT BETWEEN 1 AND 100 THEN
		PERFORM commerce_private.raise_invalid('max_attempts', 'must be from 1 to 100');
	END IF;
	PERFORM commerce_private.lock_subscription_row(set_kafka_sink.subscription);
	UPDATE commerce.subscriptions s
	SET sink = 'KAFKA', url = NULL, brokers = set_kafka_sink.brokers, topic = set_kafka_sink.topic,
		secret_name = set_kafka_sink.secret_name, batch_size = 1, max_attempts = set_kafka_sink.max_attempts
	WHERE s.name = set_kafka_sink.subscription;
	PERFORM commerce_private.wake_relay();
END
$$;
COMMENT ON FUNCTION commerce.set_kafka_sink(text, text, text, text, int) IS
	'lets commerce-relay produce a subscription''s events to a topic. secret_name: of the section of the relay''s file with the credentials. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.remove_sink(subscription text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	given_up bigint;
BEGIN
	PERFORM commerce_private.check_text('subscription', remove_sink.subscription);
	PERFORM commerce_private.lock_subscription_row(remove_sink.subscription);
	UPDATE commerce.subscriptions s
	SET sink = 'NONE', url = NULL, brokers = NULL, topic = NULL, secret_name = NULL, batch_size = 1
	WHERE s.name = remove_sink.subscription;
	-- clients do not get what the cursor has passed
	UPDATE commerce_private.parked_events e
	SET died_at = pg_catalog.clock_timestamp(), last_error = pg_catalog.concat_ws('; ', 'the sink was removed', e.last_error)
	WHERE e.subscription = remove_sink.subscription AND e.died_at IS NULL;
	GET DIAGNOSTICS given_up = ROW_COUNT;
	IF given_up > 0 THEN
		RAISE WARNING '% undelivered events of subscription % are dead letters now', given_up, remove_sink.subscription
			USING HINT = 'Clients can fetch them after seek_subscription(); redeliver() hands them to another sink.';
	END IF;
	PERFORM commerce_private.wake_relay();
END
$$;
COMMENT ON FUNCTION commerce.remove_sink(text) IS
	'leaves a subscription to clients that pull. Events that were parked become dead letters, of which a warning tells: the cursor has passed them, so that clients do not get them unless seek_subscription() moves it back. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

-- sql/install/events/parked.sql

-- Events that a subscription's cursor has passed and that are still to be delivered, or were given up.
-- Copies, so that neither keeps a segment of the outbox from being emptied.
CREATE TABLE commerce_private.parked_events (
	subscription    text NOT NULL REFERENCES commerce.subscriptions ON UPDATE CASCADE ON DELETE CASCADE,
	era             bigint NOT NULL,
	key             bigint NOT NULL,
	position        bigint NOT NULL,
	id              uuid NOT NULL,
	type            text NOT NULL,
	aggregatetype   text NOT NULL,
	aggregateid     text NOT NULL,
	payload         jsonb NOT NULL,
	created_at      timestamptz NOT NULL,
	parked_at       timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	attempts        int NOT NULL DEFAULT 0,
	next_attempt_at timestamptz,
	last_error      text,
	last_error_at   timestamptz,
	died_at         timestamptz,
	PRIMARY KEY (subscription, era, key, position)
) WITH (fillfactor = 80);
CREATE INDEX parked_events_aggregate_idx ON commerce_private.parked_events
	(subscription, aggregatetype, aggregateid, era, key, position) WHERE died_at IS NULL;
COMMENT ON TABLE commerce_private.parked_events IS
	'events that the cursor of their subscription has passed and that have not been delivered: those that failed, those of the same aggregate behind them, and dead letters';
COMMENT ON COLUMN commerce_private.parked_events.died_at IS 'since when it is a dead letter; NULL: it is still to be delivered';
COMMENT ON COLUMN commerce_private.parked_events.next_attempt_at IS 'when to try again; NULL: as soon as the event before it of the same aggregate is gone';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.parked_events', '');

CREATE VIEW commerce.dead_letters AS
	SELECT e.subscription, commerce_private.format_position(e.era, e.key, e.position) AS "position", e.id, e.type,
		   e.aggregatetype, e.aggregateid, e.payload, e.created_at, e.attempts, e.last_error, e.died_at
	FROM commerce_private.parked_events e WHERE e.died_at IS NOT NULL;
COMMENT ON VIEW commerce.dead_letters IS 'events that were given up; redeliver() tries them again';

CREATE FUNCTION commerce_private.park_events(subscription text, positions text[])
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	wanted bigint;
	known bigint;
BEGIN
	INSERT INTO commerce_private.parked_events AS known (subscription, era, key, position, id, type, aggregatetype, aggregateid,
														 payload, created_at)
	SELECT park_events.subscription, e.era, e.key, e.position, e.id, e.type, e.aggregatetype, e.aggregateid, e.payload, e.created_at
	FROM (SELECT DISTINCT u.position FROM pg_catalog.unnest(park_events.positions) u (position)) given
	CROSS JOIN LATERAL commerce_private.parse_position(given.position) p
	JOIN commerce.outbox e ON e.era = p.era AND e.key = p.key AND e.position = p.number
	-- a dead letter that was fetched again, after seek_subscription()
	ON CONFLICT (subscription, era, key, position) DO UPDATE
	SET died_at = NULL, attempts = 0, next_attempt_at = NULL WHERE known.died_at IS NOT NULL;
	SELECT count(*), count(e.position) INTO wanted, known
	FROM (SELECT DISTINCT u.position FROM pg_catalog.unnest(park_events.positions) u (position)) given
	CROSS JOIN LATERAL commerce_private.parse_position(given.position) p
	LEFT JOIN commerce_private.parked_events e
		ON e.subscription = park_events.subscription AND e.era = p.era AND e.key = p.key AND e.position = p.number;
	IF known < wanted THEN
		PERFORM commerce_private.raise_error('ENTITY_NOT_FOUND', pg_catalog.jsonb_build_object('entity', 'event'));
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.park_events(text, text[]) IS
	'keeps the events at these positions, if they are not kept yet, so that the cursor can pass them. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.redeliver(subscription text, event_position text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	s commerce.subscriptions;
	p record;
	revived bigint;
BEGIN
	PERFORM commerce_private.check_text('subscription', redeliver.subscription),
		commerce_private.check_text('event_position', redeliver.event_position);
	s := commerce_private.lock_subscription_row(redeliver.subscription);
	IF s.sink = 'NONE' THEN
		PERFORM commerce_private.raise_invalid('subscription', 'must have a sink', 'Clients that pull can fetch the events after seek_subscription(), as long as the outbox has them.');
	END IF;
	SELECT * INTO p FROM commerce_private.parse_position(redeliver.event_position) WHERE redeliver.event_position IS NOT NULL;
	UPDATE commerce_private.parked_events e
	SET died_at = NULL, attempts = 0, next_attempt_at = pg_catalog.clock_timestamp()
	WHERE e.subscription = s.name AND e.died_at IS NOT NULL
	  AND (redeliver.event_position IS NULL OR (e.era = p.era AND e.key = p.key AND e.position = p.number));
	GET DIAGNOSTICS revived = ROW_COUNT;
	IF revived = 0 AND redeliver.event_position IS NOT NULL THEN
		PERFORM commerce_private.raise_not_found('dead_letter', redeliver.event_position);
	END IF;
	PERFORM commerce_private.wake_relay();
	RETURN revived;
END
$$;
COMMENT ON FUNCTION commerce.redeliver(text, text) IS
	'hands dead letters of a subscription to the relay again, that at a position or all, and returns how many. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.discard_dead_letters(subscription text, event_position text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	s commerce.subscriptions;
	discarded bigint;
BEGIN
	PERFORM commerce_private.check_text('subscription', discard_dead_letters.subscription),
		commerce_private.check_text('event_position', discard_dead_letters.event_position);
	s := commerce_private.lock_subscription_row(discard_dead_letters.subscription);
	DELETE FROM commerce_private.parked_events d
	WHERE d.subscription = s.name AND d.died_at IS NOT NULL
	  AND (discard_dead_letters.event_position IS NULL
		   OR commerce_private.format_position(d.era, d.key, d.position) = discard_dead_letters.event_position);
	GET DIAGNOSTICS discarded = ROW_COUNT;
	RETURN discarded;
END
$$;
COMMENT ON FUNCTION commerce.discard_dead_letters(text, text) IS
	'deletes dead letters of a subscription, that at a position or all, and returns how many. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

-- sql/install/events/relay.sql

-- Delivering: one session at a time. What commerce-relay does with a subscription:
-- start_delivering(), once per session; then again and again fetch_events() and due_events(), deliver, and
-- report_deliveries().

CREATE FUNCTION commerce_private.try_lock_subscription(name text, for_session boolean)
RETURNS boolean
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'commerce_try_lock_subscription';
COMMENT ON FUNCTION commerce_private.try_lock_subscription(text, boolean) IS
	'takes the lock of who delivers a subscription, for the session or for the transaction';

CREATE FUNCTION commerce.lock_subscription(subscription text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.check_text('subscription', lock_subscription.subscription);
	IF lock_subscription.subscription IS NULL THEN
		PERFORM commerce_private.raise_invalid('subscription', 'must not be null');
	END IF;
	IF NOT EXISTS (SELECT FROM commerce.subscriptions s WHERE s.name = lock_subscription.subscription) THEN
		PERFORM commerce_private.raise_not_found('subscription', lock_subscription.subscription);
	END IF;
	RETURN commerce_private.try_lock_subscription(lock_subscription.subscription, true);
END
$$;
COMMENT ON FUNCTION commerce.lock_subscription(text) IS
	'makes this session the one that delivers a subscription, until unlock_subscription() or its end; false when another session is. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.unlock_subscription(subscription text)
RETURNS boolean
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_unlock_subscription';
COMMENT ON FUNCTION commerce.unlock_subscription(text) IS
	'gives back what lock_subscription() took, as often as it was taken; false when this session does not have it. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.start_delivering(subscription text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF EXISTS (SELECT FROM commerce.subscriptions s WHERE s.name = start_delivering.subscription AND s.sink = 'NONE') THEN
		PERFORM commerce_private.raise_invalid('subscription', 'must have a sink', 'It is read by clients that pull.');
	END IF;
	RETURN commerce.lock_subscription(start_delivering.subscription);
END
$$;
COMMENT ON FUNCTION commerce_private.start_delivering(text) IS
	'as lock_subscription(), for commerce-relay: of a subscription with a sink. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.delivers_subscription(subscription text)
RETURNS boolean
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'commerce_delivers_subscription';
COMMENT ON FUNCTION commerce_private.delivers_subscription(text) IS
	'whether this session is the one that delivers a subscription';

CREATE FUNCTION commerce_private.subscription_lock_key(subscription text)
RETURNS bigint
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_subscription_lock_key';
COMMENT ON FUNCTION commerce_private.subscription_lock_key(text) IS
	'key of the lock in pg_locks, classid in the upper half and objid in the lower';

CREATE FUNCTION commerce_private.delivering_session(subscription text)
RETURNS int
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT l.pid FROM pg_catalog.pg_locks l
	WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 15
	  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
	  AND (l.classid::bigint << 32 | l.objid::bigint) = commerce_private.subscription_lock_key(delivering_session.subscription)
	LIMIT 1
$$;
COMMENT ON FUNCTION commerce_private.delivering_session(text) IS
	'process id of the session that delivers a subscription, NULL when none does';

CREATE FUNCTION commerce_private.relay_subscriptions()
RETURNS TABLE (name text, sink commerce.sink_kind, url text, brokers text, topic text, secret_name text,
			   event_types text[], batch_size int, max_attempts int, paused boolean, "cursor" text,
			   parked bigint, next_attempt_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT s.name, s.sink, s.url, s.brokers, s.topic, s.secret_name, s.event_types, s.batch_size, s.max_attempts,
		   s.paused_at IS NOT NULL, commerce_private.format_position(s.era, s.key, s.position), p.parked, p.next_attempt_at
	FROM commerce.subscriptions s
	CROSS JOIN LATERAL (SELECT count(*) AS parked, min(e.next_attempt_at) AS next_attempt_at
						FROM commerce_private.parked_events e WHERE e.subscription = s.name AND e.died_at IS NULL) p
	WHERE s.sink <> 'NONE'
	ORDER BY s.name
$$;
COMMENT ON FUNCTION commerce_private.relay_subscriptions() IS
	'what commerce-relay is to deliver: each subscription with a sink, how many of its events are parked, and when the first of them is due';

CREATE FUNCTION commerce_private.due_events(subscription text, max_events int DEFAULT 100)
RETURNS TABLE ("position" text, id uuid, type text, aggregatetype text, aggregateid text, payload jsonb,
			   created_at timestamptz, attempts int)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT commerce_private.format_position(e.era, e.key, e.position), e.id, e.type, e.aggregatetype, e.aggregateid, e.payload,
		   e.created_at, e.attempts
	FROM (SELECT DISTINCT ON (f.aggregatetype, f.aggregateid) f.aggregatetype, f.aggregateid, f.next_attempt_at
		  FROM commerce_private.parked_events f WHERE f.subscription = due_events.subscription AND f.died_at IS NULL
		  ORDER BY f.aggregatetype, f.aggregateid, f.era, f.key, f.position) first
	JOIN commerce_private.parked_events e ON e.subscription = due_events.subscription
		AND e.aggregatetype = first.aggregatetype AND e.aggregateid = first.aggregateid AND e.died_at IS NULL
	JOIN commerce.subscriptions s ON s.name = due_events.subscription AND s.paused_at IS NULL
	-- one moment for all: else the second of an aggregate could be due and the first just not
	WHERE coalesce(first.next_attempt_at, '-infinity') <= pg_catalog.statement_timestamp()
	ORDER BY e.era, e.key, e.position
	LIMIT greatest(due_events.max_events, 0)
$$;
COMMENT ON FUNCTION commerce_private.due_events(text, int) IS
	'parked events to deliver now, in order: those of every aggregate of which the first is due. An event that fails holds back the later ones of its aggregate';

CREATE FUNCTION commerce_private.blocked_aggregates(subscription text)
RETURNS TABLE (aggregatetype text, aggregateid text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT DISTINCT e.aggregatetype, e.aggregateid FROM commerce_private.parked_events e
	WHERE e.subscription = blocked_aggregates.subscription AND e.died_at IS NULL
$$;
COMMENT ON FUNCTION commerce_private.blocked_aggregates(text) IS
	'the aggregates of a subscription that have parked events: new events of theirs must be parked too';

CREATE FUNCTION commerce_private.json_texts(list jsonb)
RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT ARRAY(SELECT e.value FROM pg_catalog.jsonb_array_elements_text(json_texts.list) e (value))
$$;
COMMENT ON FUNCTION commerce_private.json_texts(jsonb) IS 'the elements of a JSON array as texts; none of NULL';

CREATE FUNCTION commerce_private.report_deliveries(subscription text, report jsonb)
RETURNS TABLE (dead text, aggregatetype text, aggregateid text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	s commerce.subscriptions;
	died text[];
	successes CONSTANT bigint := coalesce((report_deliveries.report ->> 'delivered')::bigint, 0);
	failed_attempts CONSTANT bigint := coalesce((report_deliveries.report ->> 'failures')::bigint, 0);
	reason CONSTANT text := report_deliveries.report ->> 'error';
BEGIN
	PERFORM commerce_private.check_text('subscription', report_deliveries.subscription),
		commerce_private.check_text('error', report_deliveries.report ->> 'error');
	s := commerce_private.lock_subscription_row(report_deliveries.subscription);
	-- the sink may be gone, which a relay has not noticed yet
	IF s.sink = 'NONE' OR NOT commerce_private.delivers_subscription(s.name) THEN
		PERFORM commerce_private.raise_invalid('subscription', 'must have a sink, and this session must deliver it',
			'start_delivering() makes it the one that does.');
	END IF;
	IF successes < 0 OR failed_attempts < 0 THEN
		PERFORM commerce_private.raise_invalid('report', 'must have 0 or more deliveries and failures');
	END IF;

	PERFORM commerce_private.park_events(s.name, commerce_private.json_texts(
		pg_catalog.jsonb_path_query_array(report_deliveries.report, '$.failed[*].position'))
		|| commerce_private.json_texts(report_deliveries.report -> 'parked'));
	WITH failed AS (
		UPDATE commerce_private.parked_events e
		SET attempts = e.attempts + 1, last_error = f.value ->> 'error', last_error_at = pg_catalog.clock_timestamp(),
			next_attempt_at = pg_catalog.clock_timestamp() + interval '1 ms' * (f.value ->> 'retry_after')::bigint,
			died_at = CASE WHEN e.attempts + 1 >= s.max_attempts OR f.value ->> 'retry_after' IS NULL
						   THEN pg_catalog.clock_timestamp() END
		FROM pg_catalog.jsonb_array_elements(report_deliveries.report -> 'failed') f (value)
		CROSS JOIN LATERAL commerce_private.parse_position(f.value ->> 'position') p
		WHERE e.subscription = s.name AND e.era = p.era AND e.key = p.key AND e.position = p.number
		RETURNING f.value ->> 'position' AS position, e.died_at)
	SELECT pg_catalog.array_agg(f.position) FILTER (WHERE f.died_at IS NOT NULL) INTO died FROM failed f;
	DELETE FROM commerce_private.parked_events e
	USING pg_catalog.unnest(commerce_private.json_texts(report_deliveries.report -> 'finished')) u (position)
	CROSS JOIN LATERAL commerce_private.parse_position(u.position) p
	WHERE e.subscription = s.name AND e.era = p.era AND e.key = p.key AND e.position = p.number;

	IF report_deliveries.report ? 'up_to' THEN
		PERFORM commerce.ack_events(s.name, report_deliveries.report ->> 'up_to');
	END IF;
	IF (report_deliveries.report ->> 'advance')::boolean THEN
		PERFORM commerce.advance_subscription(s.name);
	END IF;
	IF report_deliveries.report ? 'pause' THEN
		PERFORM commerce.pause_subscription(s.name, report_deliveries.report ->> 'pause');
	END IF;
	IF successes + failed_attempts > 0 OR reason IS NOT NULL THEN
		UPDATE commerce.subscriptions u
		SET attempts = u.attempts + successes + failed_attempts, delivered = u.delivered + successes,
			failures = u.failures + failed_attempts,
			last_success_at = CASE WHEN successes > 0 THEN pg_catalog.clock_timestamp() ELSE u.last_success_at END,
			last_error = coalesce(reason, u.last_error),
			last_error_at = CASE WHEN reason IS NOT NULL THEN pg_catalog.clock_timestamp() ELSE u.last_error_at END
		WHERE u.name = s.name;
	END IF;
	RETURN QUERY SELECT d.position, NULL, NULL FROM pg_catalog.unnest(died) d (position)
		UNION ALL SELECT NULL, b.aggregatetype, b.aggregateid FROM commerce_private.blocked_aggregates(s.name) b;
END
$$;
COMMENT ON FUNCTION commerce_private.report_deliveries(text, jsonb) IS
	'what became of events, from the session that delivers a subscription with a sink. report, all of it optional: failed, [{position, error, retry_after}]: parked for so many milliseconds, or dead letters after max_attempts or when there is no retry_after; parked, positions that wait behind those; finished, positions of parked events that were delivered; up_to: as ack_events(); advance: true: as advance_subscription(); pause: as pause_subscription(), with this reason; delivered, failures and error: for subscription_status. Returns the positions that are dead letters now, and the aggregates that have parked events: new events of theirs must be parked too. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.grant_relay(role regrole, confirms_payments boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.require_role(grant_relay.role);
	IF grant_relay.confirms_payments IS NULL THEN
		PERFORM commerce_private.raise_invalid('confirms_payments', 'must not be null');
	END IF;
	PERFORM commerce_private.close_row_types();
	EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA commerce, commerce_private TO %s', grant_relay.role);
	EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %s',
		(SELECT pg_catalog.string_agg(f.oid::regprocedure::text, ', ')
		 FROM pg_catalog.pg_proc f
		 WHERE f.pronamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace)
		   AND (f.proname = ANY ('{relay_subscriptions,start_delivering,unlock_subscription,fetch_events,due_events,blocked_aggregates,report_deliveries}')
				OR (grant_relay.confirms_payments AND f.proname = ANY ('{receive_payment_result,park_payment_result,due_payment_result,retry_payment_result,fail_payment_result,redeliver_payment_results}')))),
		grant_relay.role);
END
$$;
COMMENT ON FUNCTION commerce.grant_relay(regrole, boolean) IS
	'lets commerce-relay''s role pull, and acknowledge what it delivers to sinks, and with confirms_payments confirm payments as messages say and keep those that fail, and nothing else; for the owner of the extension. revoke_app() takes it back. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

-- sql/install/events/retention.sql

-- Retention of the outbox, and what to watch: views for subscriptions, segments and the horizon.

CREATE TABLE commerce_private.outbox_purged (
	era      bigint NOT NULL,
	key      bigint NOT NULL,
	position bigint NOT NULL,
	PRIMARY KEY (era, key, position)
);
COMMENT ON TABLE commerce_private.outbox_purged IS 'how far retention has come: cursor of the last event that was removed; one row, written at the first purge';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.outbox_purged', '');

CREATE FUNCTION commerce_private.purge_segment(n int, retention interval)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	filtered text;
	newest record;
	holders text;
BEGIN
	SELECT * INTO newest FROM commerce_private.newest_event(n);
	IF newest.key IS NULL THEN
		RETURN false;
	END IF;
	-- what a subscription does not want must not hold anything back
	FOR filtered IN
		SELECT s.name FROM commerce.subscriptions s
		WHERE s.event_types IS NOT NULL
		  AND ROW (s.era, s.key, s.position) < ROW (newest.era, newest.key, newest.position)
		ORDER BY s.name
	LOOP
		PERFORM commerce.advance_subscription(filtered);
	END LOOP;
	holders := commerce_private.outbox_holders(newest.era, newest.key, newest.position);
	IF holders IS NOT NULL THEN
		RAISE WARNING 'segment % of the outbox is past its retention and is held by subscription %', n, holders
			USING HINT = 'Let the subscription catch up, or give up its events with seek_subscription() or unsubscribe().';
		RETURN false;
	END IF;

	EXECUTE pg_catalog.format('LOCK TABLE commerce_private.%I IN ACCESS EXCLUSIVE MODE', 'outbox_' || n);
	-- again, now that nobody can write there
	SELECT * INTO newest FROM commerce_private.newest_event(n);
	IF newest.created_at >= pg_catalog.clock_timestamp() - retention
	   OR commerce_private.outbox_holders(newest.era, newest.key, newest.position) IS NOT NULL THEN
		RETURN false;
	END IF;
	EXECUTE pg_catalog.format('TRUNCATE TABLE commerce_private.%I', 'outbox_' || n);
	UPDATE commerce_private.outbox_purged p SET era = newest.era, key = newest.key, position = newest.position
	WHERE ROW (p.era, p.key, p.position) < ROW (newest.era, newest.key, newest.position);
	IF NOT EXISTS (SELECT FROM commerce_private.outbox_purged) THEN
		INSERT INTO commerce_private.outbox_purged (era, key, position)
		VALUES (newest.era, newest.key, newest.position);
	END IF;
	RETURN true;
END
$$;
COMMENT ON FUNCTION commerce_private.purge_segment(int, interval) IS
	'empties a segment of the outbox that nothing is written to any more, and returns whether it has: not one that has a newer event than retention allows, or that a subscription has not had';

CREATE FUNCTION commerce.purge_outbox()
RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms'
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
DECLARE
	retention interval := commerce_private.setting('commerce.outbox_retention')::interval;
	attempted record;
	emptied int := 0;
BEGIN
	IF pg_catalog.current_setting('transaction_isolation') <> 'read committed' THEN
		RAISE EXCEPTION 'purge_outbox() must run in READ COMMITTED'
			USING ERRCODE = 'active_sql_transaction',
				  DETAIL = 'After it has waited for a lock it must see what was committed meanwhile.';
	END IF;
	FOR n IN 0..15 LOOP
		CONTINUE WHEN commerce_private.segment_end(n) + retention > pg_catalog.clock_timestamp();
		-- lock_not_available
		SELECT * INTO attempted FROM commerce_private.attempt('{55P03}', 'commerce_private.purge_segment(int,interval)', n, retention);
		IF attempted.sqlstate IS NOT NULL THEN
			-- and what is behind it, since readers wait for the locks that we have by now
			RAISE NOTICE 'segment % of the outbox is in use; it is left for the next time', n;
			EXIT;
		END IF;
		emptied := emptied + attempted.result::boolean::int;
	END LOOP;
	RETURN emptied;
END
$$;
COMMENT ON FUNCTION commerce.purge_outbox() IS
	'empties each daily segment of the outbox that is older than commerce.outbox_retention and that every subscription has had, and returns how many; says which subscription holds a segment back. Orders never wait for it';

CREATE FUNCTION commerce_private.newest_event(segment int, OUT era bigint, OUT key bigint, OUT "position" bigint, OUT created_at timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT e.era, e.key, e.position, e.created_at FROM commerce.outbox e
	WHERE e.segment = newest_event.segment
	ORDER BY e.era DESC, e.key DESC, e.position DESC LIMIT 1
$$;
COMMENT ON FUNCTION commerce_private.newest_event(int) IS 'the last event of a segment, in the order of reading';

CREATE FUNCTION commerce_private.outbox_holders(era bigint, key bigint, "position" bigint)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.string_agg(s.name, ', ' ORDER BY s.name) FROM commerce.subscriptions s
	WHERE ROW (s.era, s.key, s.position) < ROW (outbox_holders.era, outbox_holders.key, outbox_holders.position)
$$;
COMMENT ON FUNCTION commerce_private.outbox_holders(bigint, bigint, bigint) IS
	'the subscriptions that have not had the events up to this cursor; NULL for none';

INSERT INTO commerce_private.jobs (name, schedule, function, purpose) VALUES
	('purge-outbox', '*/10 * * * *', 'purge_outbox', 'empties old segments of the outbox');

CREATE VIEW commerce.subscription_status AS
	SELECT s.name,
		   CASE WHEN s.paused_at IS NOT NULL THEN 'PAUSED' WHEN s.sink = 'NONE' THEN 'PULLED'
				WHEN commerce_private.delivering_session(s.name) IS NOT NULL THEN 'DELIVERING' ELSE 'WAITING' END AS state,
		   s.paused_at, s.pause_reason, s.sink, coalesce(s.url, s.topic) AS destination, s.event_types,
		   commerce_private.format_position(s.era, s.key, s.position) AS cursor,
		   (SELECT count(*) FROM (SELECT FROM commerce.outbox e
								  WHERE ROW (e.era, e.key, e.position) > ROW (s.era, s.key, s.position)
									AND (s.event_types IS NULL OR e.type = ANY (s.event_types))
								  LIMIT 1000000) e) AS lag_events,
		   coalesce((SELECT extract(epoch FROM pg_catalog.clock_timestamp() - e.created_at) FROM commerce.outbox e
					 WHERE ROW (e.era, e.key, e.position) > ROW (s.era, s.key, s.position)
					   AND (s.event_types IS NULL OR e.type = ANY (s.event_types))
					 ORDER BY e.era, e.key, e.position LIMIT 1), 0) AS lag_seconds,
		   (SELECT count(*) FROM commerce_private.parked_events p WHERE p.subscription = s.name AND p.died_at IS NULL) AS parked,
		   (SELECT count(*) FROM commerce.dead_letters d WHERE d.subscription = s.name) AS dead_letters,
		   s.attempts, s.delivered, s.failures, s.last_success_at, s.last_error, s.last_error_at,
		   commerce_private.delivering_session(s.name) AS delivering_pid
	FROM commerce.subscriptions s;
COMMENT ON VIEW commerce.subscription_status IS 'every subscription: how far it is behind, and how its deliveries go';
COMMENT ON COLUMN commerce.subscription_status.state IS
	'PAUSED; PULLED: by a client; DELIVERING: a relay works on it; WAITING: it has a sink and no relay';
COMMENT ON COLUMN commerce.subscription_status.lag_events IS
	'committed events after the cursor, also those that an older transaction still keeps from being read (view horizon); counted up to 1000000';
COMMENT ON COLUMN commerce.subscription_status.lag_seconds IS 'age of the first of them; 0 when there is none';
COMMENT ON COLUMN commerce.subscription_status.parked IS 'events that the cursor has passed and that are still to be delivered';
COMMENT ON COLUMN commerce.subscription_status.delivering_pid IS 'the session that has lock_subscription()';

CREATE FUNCTION commerce_private.segment_end(segment int)
RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.timezone('UTC', (date '1970-01-01' + t.today - (t.today - segment_end.segment) % 16 + 1)::timestamp)
	FROM (SELECT pg_catalog.date(pg_catalog.timezone('UTC', pg_catalog.clock_timestamp())) - date '1970-01-01' AS today) t
$$;
COMMENT ON FUNCTION commerce_private.segment_end(int) IS
	'the end of the latest day, up to today, whose events are in a segment';

CREATE FUNCTION commerce_private.list_segments()
RETURNS TABLE (segment int, newest_event_at timestamptz, bytes bigint, retained_until timestamptz, held_by text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT n.segment,
		   newest.created_at,
		   pg_catalog.pg_total_relation_size(pg_catalog.format('commerce_private.outbox_%s', n.segment)),
		   commerce_private.segment_end(n.segment) + commerce_private.setting('commerce.outbox_retention')::interval,
		   commerce_private.outbox_holders(newest.era, newest.key, newest.position)
	FROM pg_catalog.generate_series(0, 15) n (segment)
	CROSS JOIN LATERAL commerce_private.newest_event(n.segment) newest
	WHERE newest.key IS NOT NULL
$$;
COMMENT ON FUNCTION commerce_private.list_segments() IS 'the daily segments of the outbox that have events in them: see the view outbox_segments';

CREATE VIEW commerce.outbox_segments AS
	SELECT l.segment, l.newest_event_at, l.bytes, l.retained_until, l.held_by FROM commerce_private.list_segments() l;
COMMENT ON VIEW commerce.outbox_segments IS 'the daily segments of the outbox that have events in them';
COMMENT ON COLUMN commerce.outbox_segments.retained_until IS 'purge_outbox() empties the segment after this, when no subscription holds it';
COMMENT ON COLUMN commerce.outbox_segments.held_by IS 'subscriptions that have not had all of it';

-- sql/install/shop/called_once.sql

-- (f(...)).* of a function that writes is refused.
CREATE FUNCTION commerce_private.called_once(internal)
RETURNS internal
LANGUAGE C STRICT
AS 'MODULE_PATHNAME', 'commerce_called_once';
COMMENT ON FUNCTION commerce_private.called_once(internal) IS
	'planner support of functions that write and return a row: (f(...)).* would call them once for each column';

DO $$
DECLARE
	writing regprocedure;
BEGIN
	FOR writing IN
		SELECT p.oid FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_type t ON t.oid = p.prorettype
		WHERE p.pronamespace = 'commerce'::pg_catalog.regnamespace AND p.provolatile = 'v'
			AND (t.typtype = 'c' OR t.oid = 'pg_catalog.record'::pg_catalog.regtype)
	LOOP
		EXECUTE pg_catalog.format('ALTER FUNCTION %s SUPPORT commerce_private.called_once', writing);
	END LOOP;
END
$$;

-- sql/install/api/callers.sql

-- REST: who calls. PostgREST checks the token, takes a database role from one of its claims, and hands its
-- claims over as the setting request.jwt.claims. commerce.jwt_user_claim says which of them names the user, and
-- commerce.jwt_subject whether by id or by external_id.
--
-- These are functions in C, which read users, sellers and api_roles for a caller who may not.

CREATE TYPE commerce_private.api_role AS ENUM ('ANONYMOUS', 'BUYER', 'SELLER', 'ADMIN');
COMMENT ON TYPE commerce_private.api_role IS 'what a database role may do over REST';

CREATE TABLE commerce_private.api_roles (
	role     name PRIMARY KEY,
	api_role commerce_private.api_role NOT NULL
);
COMMENT ON TABLE commerce_private.api_roles IS 'database roles that grant_api() has let in, and as what';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.api_roles', '');

CREATE FUNCTION commerce_private.current_user_id()
RETURNS bigint
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_current_user_id';
COMMENT ON FUNCTION commerce_private.current_user_id() IS
	'the user that the request''s token names; NULL without a token, or when there is no such external_id';

CREATE FUNCTION commerce_private.current_api_role()
RETURNS commerce_private.api_role
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_current_api_role';
COMMENT ON FUNCTION commerce_private.current_api_role() IS
	'what the calling database role, which SET ROLE chose, may do over REST; NULL: nothing';

CREATE FUNCTION commerce_private.current_seller_id()
RETURNS bigint
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_current_seller_id';
COMMENT ON FUNCTION commerce_private.current_seller_id() IS
	'seller id of a caller whose database role and user are both a seller''s, active or not; else NULL';

CREATE FUNCTION commerce_private.current_admin()
RETURNS boolean
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_current_admin';
COMMENT ON FUNCTION commerce_private.current_admin() IS
	'whether the caller''s database role and active user are both an administrator''s';

-- sql/install/api/moment.sql

-- REST: times. PostgREST looks for casts of a view's domains, and uses them for what it answers and compares with. So
-- every time of a view has one form, whatever TimeZone says, and one of a query without an offset is the shop's.

CREATE DOMAIN commerce_api.moment AS timestamptz;
COMMENT ON DOMAIN commerce_api.moment IS 'a time as REST shows and reads it';

CREATE FUNCTION commerce_api.moment_to_json(commerce_api.moment)
RETURNS json
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_moment_to_json';
COMMENT ON FUNCTION commerce_api.moment_to_json(commerce_api.moment) IS 'a time as answers have it: "2026-12-01T00:00:00+00:00"';

CREATE FUNCTION commerce_api.moment_from_text(text)
RETURNS commerce_api.moment
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_moment_from_text';
COMMENT ON FUNCTION commerce_api.moment_from_text(text) IS
	'a time as requests write it, read as read_time() does. Errors: INVALID_REQUEST';

-- PostgreSQL warns that it does not use casts of domains itself
SET LOCAL client_min_messages = error;
CREATE CAST (commerce_api.moment AS json) WITH FUNCTION commerce_api.moment_to_json(commerce_api.moment) AS IMPLICIT;
CREATE CAST (text AS commerce_api.moment) WITH FUNCTION commerce_api.moment_from_text(text) AS IMPLICIT;
RESET client_min_messages;

-- sql/install/api/status.sql

-- REST: the state of the shop at a glance, as the page rpc/operator shows it. It is asked for every few
-- seconds: nothing here reads all of a table that grows, and what is counted is counted up to 10 000.

-- Ids of orders grow with time, but for imported ones, which came when the shop moved in. From the newest
-- back in growing steps, until an order is too old; then by halves in between.
CREATE FUNCTION commerce_private.first_order_since(moment timestamptz)
RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
	newest bigint := (SELECT max(o.id) FROM commerce.orders o);
	low bigint := 0;
	high bigint := newest;
	step bigint := 1;
	middle bigint;
	found_order record;
BEGIN
	WHILE low < high LOOP
		middle := CASE WHEN step > 0 THEN greatest(newest - step, 0) ELSE low + (high - low) / 2 END;
		SELECT o.id, NOT o.imported AND o.created_at < first_order_since.moment AS older INTO found_order
		FROM commerce.orders o WHERE o.id >= middle ORDER BY o.id LIMIT 1;
		IF found_order.older THEN
			low := found_order.id + 1;
			step := 0;
		ELSE
			high := middle;
			step := step * 2;
		END IF;
	END LOOP;
	RETURN low;
END
$$;
COMMENT ON FUNCTION commerce_private.first_order_since(timestamptz) IS
	'an id that is at most that of the first order since then, and not much less; found by looking at a few dozen';

CREATE FUNCTION commerce_private.status_of_orders()
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
	most CONSTANT bigint := 200000;
	since timestamptz := pg_catalog.date_trunc('minute', pg_catalog.statement_timestamp()) - interval '59 minutes';
	first bigint := commerce_private.first_order_since(since);
	newest bigint := (SELECT max(o.id) FROM commerce.orders o);
BEGIN
	IF newest - first >= most THEN
		first := newest - most + 1;
		SELECT pg_catalog.date_trunc('minute', o.created_at) + interval '1 minute' INTO since
		FROM commerce.orders o WHERE o.id >= first AND NOT o.imported ORDER BY o.id LIMIT 1;
	END IF;
	RETURN (
		SELECT pg_catalog.jsonb_build_object('since', since, 'placed', coalesce(sum(c.placed), 0), 'paid', coalesce(sum(c.paid), 0),
				'revenue', coalesce(sum(c.revenue), 0), 'refunded', coalesce(sum(c.refunded), 0),
				'per_minute', pg_catalog.jsonb_agg(CASE WHEN m.minute >= since THEN coalesce(c.placed, 0) END ORDER BY m.minute))
		FROM pg_catalog.generate_series(0, 59) AS n (ago)
		CROSS JOIN LATERAL (SELECT pg_catalog.date_trunc('minute', pg_catalog.statement_timestamp()) - n.ago * interval '1 minute' AS minute) m
		LEFT JOIN (SELECT pg_catalog.date_trunc('minute', o.created_at) AS minute, count(*) AS placed, count(o.paid_at) AS paid,
						  sum(o.payment_amount - o.refunded_amount) FILTER (WHERE o.paid_at IS NOT NULL) AS revenue,
						  sum(o.refunded_amount) FILTER (WHERE o.paid_at IS NOT NULL) AS refunded
				   FROM commerce.orders o
				   WHERE o.id >= first AND o.created_at >= since AND NOT o.imported
				   GROUP BY 1) c ON c.minute = m.minute);
END
$$;
COMMENT ON FUNCTION commerce_private.status_of_orders() IS
	'orders of the last 60 minutes by the clock, or of as many of them as the last 200 000 orders are from';

-- Each part walks an index that was made for it, and ends early.
CREATE FUNCTION commerce_private.status_of_waiting()
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
	WITH requests AS (
		SELECT CASE WHEN i.status IN ('CANCEL_REQUESTED', 'CANCEL_PROCESSING') THEN 'CANCELLATIONS'
					WHEN i.status IN ('RETURN_REQUESTED', 'RETURN_PROCESSING') THEN 'RETURNS' ELSE 'EXCHANGES' END AS kind, e.at
		FROM (SELECT t.status, t.id, t.last_event FROM commerce.order_items t
			  WHERE t.status IN ('CANCEL_REQUESTED', 'CANCEL_PROCESSING', 'RETURN_REQUESTED', 'RETURN_PROCESSING', 'EXCHANGE_REQUESTED', 'EXCHANGE_PROCESSING')
			  LIMIT 10000) i
		JOIN commerce.order_item_events e ON e.order_item_id = i.id AND e.ordinal = i.last_event
	), payments AS (
		SELECT CASE WHEN p.status = 'UNEXPECTED' THEN 'UNEXPECTED_PAYMENTS' WHEN p.status = 'FAILED' THEN 'FAILED_REFUNDS' ELSE 'REFUNDS' END AS kind, p.at
		FROM (SELECT t.id, t.status, t.at, t.refund_of FROM commerce.payments t
			  WHERE (t.status = 'UNEXPECTED' AND t.kind <> 'REFUND') OR (t.kind = 'REFUND' AND t.status IN ('REQUESTED', 'FAILED'))
			  LIMIT 10000) p
		-- what was given back, and what was tried again, is done
		WHERE p.status = 'REQUESTED'
		   OR NOT EXISTS (SELECT FROM commerce.payments r
						  WHERE r.status <> 'FAILED' AND (r.refund_of = p.id OR (r.refund_of = p.refund_of AND r.id > p.id)))
	), waiting AS (
		SELECT * FROM requests
		UNION ALL SELECT * FROM payments
		UNION ALL (SELECT 'UNPAID_ORDERS', o.created_at FROM commerce.orders o WHERE o.status = 'PENDING_PAYMENT' ORDER BY o.expires_at LIMIT 10000)
		UNION ALL (SELECT 'OVERDUE_ORDERS', o.expires_at FROM commerce.orders o
				   WHERE o.status = 'PENDING_PAYMENT' AND o.expires_at < pg_catalog.statement_timestamp() - interval '5 minutes' ORDER BY o.expires_at LIMIT 10000)
		UNION ALL (SELECT 'DEAD_LETTERS', d.died_at FROM commerce.dead_letters d LIMIT 10000)
		UNION ALL (SELECT 'DEAD_PAYMENT_RESULTS', r.died_at FROM commerce_private.parked_payment_results r WHERE r.died_at IS NOT NULL LIMIT 10000)
	)
	SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('kind', k.kind, 'count', coalesce(w.waiting, 0), 'oldest', w.oldest) ORDER BY k.ordinality)
	FROM pg_catalog.unnest('{RETURNS,EXCHANGES,CANCELLATIONS,UNPAID_ORDERS,OVERDUE_ORDERS,REFUNDS,FAILED_REFUNDS,UNEXPECTED_PAYMENTS,DEAD_LETTERS,DEAD_PAYMENT_RESULTS}'::text[])
		WITH ORDINALITY AS k (kind, ordinality)
	LEFT JOIN (SELECT g.kind, count(*) AS waiting, min(g.at) AS oldest FROM waiting g GROUP BY g.kind) w ON w.kind = k.kind
$$;
COMMENT ON FUNCTION commerce_private.status_of_waiting() IS 'what waits for somebody: how many of each kind, counted up to 10 000, and since when the oldest';

-- The view subscription_status counts up to a million, as who looks into one wants it.
CREATE FUNCTION commerce_private.status_of_subscriptions()
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
	SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
				'name', s.name, 'state', s.state, 'destination', s.destination, 'lag_events', b.events,
				'lag_seconds', coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - b.oldest), 0), 'parked', s.parked, 'dead_letters', s.dead_letters,
				'paused_at', s.paused_at, 'pause_reason', s.pause_reason, 'last_success_at', s.last_success_at,
				'last_error', s.last_error, 'last_error_at', s.last_error_at) ORDER BY s.name), '[]')
	FROM commerce.subscription_status s
	JOIN commerce.subscriptions u ON u.name = s.name
	CROSS JOIN LATERAL (SELECT count(*) AS events, min(e.created_at) AS oldest
						FROM (SELECT o.type, o.created_at FROM commerce.outbox o
							  WHERE ROW (o.era, o.key, o.position) > ROW (u.era, u.key, u.position)
							  ORDER BY o.era, o.key, o.position LIMIT 10000) e
						WHERE u.event_types IS NULL OR e.type = ANY (u.event_types)) b
$$;
COMMENT ON FUNCTION commerce_private.status_of_subscriptions() IS
	'every subscription, how its deliveries go, and what it wants of the first 10 000 events after its cursor';

CREATE FUNCTION commerce_private.status_of_products(OUT popular jsonb, OUT running_out jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
	WITH sold AS (SELECT * FROM commerce.popular_products(3, 100))
	SELECT (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(s) ORDER BY s.rank), '[]') FROM sold s WHERE s.rank <= 5),
		   (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(r) ORDER BY r.lasts_days, r.units_sold DESC, r.product_id), '[]')
			FROM (SELECT s.product_id, s.name, v.business_name AS seller_name, greatest(l.units, 0) AS stock, s.units_sold,
						 pg_catalog.round(greatest(l.units, 0) * d.days / s.units_sold, 2) AS lasts_days
				  FROM sold s
				  JOIN commerce.products p ON p.id = s.product_id
				  LEFT JOIN commerce.sellers v ON v.id = p.seller_id
				  CROSS JOIN LATERAL (SELECT t.units FROM commerce_private.stock_left t WHERE t.product_id = s.product_id) l
				  CROSS JOIN (SELECT extract(epoch FROM pg_catalog.statement_timestamp()
								- pg_catalog.timezone(commerce_private.setting('commerce.timezone'), (commerce_private.local_date() - 2)::timestamp)) / 86400 AS days) d
				  WHERE greatest(l.units, 0) * d.days < 3 * s.units_sold
				  ORDER BY lasts_days, s.units_sold DESC, s.product_id LIMIT 10) r)
$$;
COMMENT ON FUNCTION commerce_private.status_of_products() IS
	'the five best sellers of three days, and those of the hundred best whose stock is gone within three days if they sell on as they did';

CREATE FUNCTION commerce_private.status_problems(jobs jsonb, worker text, subscriptions jsonb, waiting jsonb)
RETURNS TABLE (code text, bad boolean, subject text, count bigint, since timestamptz, detail text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH job AS (
		SELECT j.* FROM pg_catalog.jsonb_to_recordset(status_problems.jobs)
			AS j (name text, state text, last_finished_at timestamptz, last_error text, last_error_at timestamptz)
		-- what the worker does as well
		WHERE j.name NOT IN ('fold', 'expire-pending-orders') OR coalesce(status_problems.worker, '') NOT IN ('WORKING', 'IDLE')
	), subscription AS (
		SELECT s.* FROM pg_catalog.jsonb_to_recordset(status_problems.subscriptions)
			AS s (name text, state text, lag_seconds numeric, paused_at timestamptz, pause_reason text, last_success_at timestamptz, last_error text, last_error_at timestamptz)
	), waits AS (
		SELECT w.* FROM pg_catalog.jsonb_to_recordset(status_problems.waiting) AS w (kind text, count bigint, oldest timestamptz)
		WHERE w.count > 0
	)
	SELECT 'REBASING', true, NULL, NULL::bigint, o.recorded_at, NULL FROM commerce_private.origin o WHERE o.rebase_mark IS NOT NULL
	UNION ALL
	SELECT 'BOOKS_WRONG', true, pg_catalog.string_agg(DISTINCT f.invariant, ', '), count(*), max(s.started_at), NULL
	FROM commerce.scrub s CROSS JOIN LATERAL pg_catalog.jsonb_to_recordset(s.found) AS f (invariant text) HAVING count(*) > 0
	UNION ALL
	SELECT 'FOREIGN_COLUMNS', false, pg_catalog.string_agg(f.relation || '.' || f.name, ', '), count(*), NULL, NULL
	FROM commerce_private.foreign_columns f HAVING count(*) > 0
	UNION ALL
	SELECT 'EMPTY_PUBLICATIONS', false, pg_catalog.string_agg(p.name, ', ' ORDER BY p.name), count(*), NULL, NULL
	FROM commerce_private.empty_publications p HAVING count(*) > 0
	UNION ALL
	SELECT 'JOBS_OVERDUE', true, pg_catalog.string_agg(j.name, ', ' ORDER BY j.name), count(*), max(j.last_finished_at), NULL
	FROM job j WHERE j.state = 'OVERDUE' HAVING count(*) > 0
	UNION ALL
	SELECT 'JOB_FAILED', true, j.name, NULL, j.last_error_at, j.last_error FROM job j WHERE j.state = 'FAILED'
	UNION ALL
	SELECT 'JOBS_NOT_SCHEDULED', false, pg_catalog.string_agg(j.name, ', ' ORDER BY j.name), count(*), NULL, NULL
	FROM job j WHERE j.state = 'NEVER' HAVING count(*) > 0
	UNION ALL
	SELECT 'NO_WORKER', true, status_problems.worker, NULL, NULL, NULL WHERE status_problems.worker = 'NO_SLOT'
	UNION ALL
	SELECT w.kind, true, NULL, w.count, w.oldest, NULL FROM waits w WHERE w.kind IN ('OVERDUE_ORDERS', 'DEAD_LETTERS', 'DEAD_PAYMENT_RESULTS')
	UNION ALL
	SELECT 'NO_RELAY', true, pg_catalog.string_agg(s.name, ', ' ORDER BY s.name), count(*), max(s.last_success_at), NULL
	FROM subscription s WHERE s.state = 'WAITING' HAVING count(*) > 0
	UNION ALL
	SELECT 'DELIVERY_FAILS', false, s.name, NULL, s.last_error_at, s.last_error
	FROM subscription s WHERE s.state = 'DELIVERING' AND s.last_error_at > coalesce(s.last_success_at, '-infinity')
	UNION ALL
	SELECT 'SUBSCRIPTION_BEHIND', s.lag_seconds > 3600, s.name, NULL, pg_catalog.statement_timestamp() - s.lag_seconds * interval '1 second', NULL
	FROM subscription s WHERE s.state IN ('DELIVERING', 'PULLED') AND s.lag_seconds > 300
	UNION ALL
	SELECT 'SUBSCRIPTION_PAUSED', false, s.name, NULL, s.paused_at, s.pause_reason FROM subscription s WHERE s.state = 'PAUSED'
	UNION ALL
	SELECT 'OUTBOX_HELD', false, o.held_by, count(*), min(o.retained_until), NULL
	FROM commerce.outbox_segments o
	WHERE o.held_by IS NOT NULL AND o.retained_until < pg_catalog.statement_timestamp() - interval '1 hour' GROUP BY o.held_by
	UNION ALL
	SELECT 'HORIZON_HELD', h.since < pg_catalog.statement_timestamp() - interval '1 hour', h.holder, NULL, h.since, pg_catalog.concat_ws(', ', h.kind, h.database, h.detail)
	FROM (SELECT * FROM commerce.horizon t WHERE t.holds_folding LIMIT 1) h
	WHERE h.since < pg_catalog.statement_timestamp() - interval '5 minutes'
	UNION ALL
	SELECT 'CONVERSION_LOW', false, NULL, c.paid, c.ends_at, pg_catalog.format('%s/%s', c.paid, c.sheets)
	FROM (SELECT * FROM commerce_private.conversion_windows t ORDER BY t.starts_at DESC LIMIT 1) c WHERE c.alerting
	UNION ALL
	SELECT 'DIRECT_CHARGE', false, NULL, NULL, NULL, NULL WHERE commerce_private.setting('commerce.direct_charge')::boolean
$$;
COMMENT ON FUNCTION commerce_private.status_problems(jsonb, text, jsonb, jsonb) IS
	'what is not as it should be; bad: somebody should look at it now. docs/rest-setup.md says what each code means';

CREATE FUNCTION commerce_private.api_shop_status()
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	jobs jsonb := (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(j) ORDER BY j.name), '[]')
				   FROM (SELECT t.name, t.state, t.schedule, t.last_finished_at, t.last_rows, t.backlog, t.failures, t.last_error, t.last_error_at
						 FROM commerce.job_status t) j);
	worker text := (SELECT m.state FROM commerce.maintenance m WHERE m.database = pg_catalog.current_database());
	subscriptions jsonb := commerce_private.status_of_subscriptions();
	waiting jsonb := commerce_private.status_of_waiting();
	products record;
BEGIN
	SELECT * INTO products FROM commerce_private.status_of_products();
	RETURN pg_catalog.jsonb_build_object(
		'as_of', pg_catalog.statement_timestamp(),
		'version', (SELECT e.extversion FROM pg_catalog.pg_extension e WHERE e.extname = 'commerce'),
		'timezone', commerce_private.setting('commerce.timezone'),
		'currency', (SELECT pg_catalog.to_jsonb(c) FROM commerce_private.shop_currency() c),
		'problems', (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(p) ORDER BY p.bad DESC, p.code, p.subject), '[]')
					 FROM commerce_private.status_problems(jobs, worker, subscriptions, waiting) p),
		'waiting', waiting,
		'orders', commerce_private.status_of_orders(),
		'units_per_day', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('day', d.day, 'units', coalesce(s.units, 0)) ORDER BY d.day)
						  FROM (SELECT commerce_private.local_date() - n AS day FROM pg_catalog.generate_series(0, 13) n) d
						  LEFT JOIN (SELECT t.day, sum(t.units) AS units
									 FROM (TABLE commerce.product_daily_sales UNION ALL TABLE commerce_private.unfolded_sales) t
									 WHERE t.day > commerce_private.local_date() - 14 GROUP BY t.day) s ON s.day = d.day),
		'popular_products', products.popular,
		'running_out', products.running_out,
		'sheets', (SELECT pg_catalog.jsonb_build_object('last_hour', count(*), 'ordered', count(s.consumed_order_id))
				   FROM (SELECT t.consumed_order_id FROM commerce.order_sheets t
						 WHERE t.created_at > pg_catalog.statement_timestamp() - interval '1 hour' ORDER BY t.created_at DESC LIMIT 200000) s),
		'jobs', jobs,
		'worker', worker,
		'subscriptions', subscriptions,
		'horizon', (SELECT pg_catalog.to_jsonb(h) FROM (SELECT t.kind, t.database, t.holder, t.since, t.age FROM commerce.horizon t
														WHERE t.holds_folding LIMIT 1) h),
		'escrow', (SELECT pg_catalog.jsonb_build_object('counters', count(*), 'in_flight', coalesce(sum(e.in_flight), 0),
						'waiters', coalesce(sum(e.waiters), 0)) FROM commerce.escrow e));
END
$$;
COMMENT ON FUNCTION commerce_private.api_shop_status() IS 'what an operator looks at first';

-- sql/install/api/metrics.sql

-- Monitoring: what an operator alerts on, as names and numbers. It is asked for every few seconds, so it reads
-- what api/status reads, and nothing that grows with the shop.

CREATE FUNCTION commerce_private.refusals(OUT code text, OUT count bigint)
RETURNS SETOF record
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_refusals';
COMMENT ON FUNCTION commerce_private.refusals() IS
	'how often each error of error_codes() was raised in this database since the server''s start; empty when the library is not preloaded';

CREATE FUNCTION commerce_private.metrics_of_server()
RETURNS TABLE (name text, labels jsonb, value double precision)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT m.name, '{}'::jsonb, m.value
	FROM (SELECT m.state, m.last_fold_at FROM (SELECT) one
		  LEFT JOIN commerce.maintenance m ON m.database = pg_catalog.current_database()) w
	CROSS JOIN (SELECT max(o.era) AS era, count(o.rebase_mark) AS rebasing FROM commerce_private.origin o) o
	CROSS JOIN (SELECT max(r.finished_at) AS fold_at FROM commerce_private.job_runs r WHERE r.name = 'fold') j
	CROSS JOIN (SELECT coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - min(h.since) FILTER (WHERE h.holds_folding)), 0) AS seconds,
					   coalesce(max(h.age), 0) AS xids FROM commerce.horizon h) h
	CROSS JOIN (SELECT count(*) AS counters, coalesce(sum(e.in_flight), 0) AS in_flight, coalesce(sum(e.waiters), 0) AS waiters,
					   coalesce(sum(e.loads), 0) AS loads, coalesce(max(e.evictions), 0) AS evictions FROM commerce.escrow e) e
	CROSS JOIN (SELECT coalesce(sum(s.bytes), 0) AS bytes,
					   count(*) FILTER (WHERE s.held_by IS NOT NULL AND s.retained_until < pg_catalog.statement_timestamp()) AS held
				FROM commerce.outbox_segments s) s
	CROSS JOIN (SELECT max(s.ended_at) AS ended_at, coalesce(sum(pg_catalog.jsonb_array_length(s.found)), 0) AS found FROM commerce.scrub s) b
	CROSS JOIN LATERAL (VALUES
		('commerce_era', o.era),
		('commerce_rebasing', o.rebasing),
		('commerce_worker_up', CASE WHEN w.state IN ('WORKING', 'IDLE') THEN 1 WHEN w.state IS NOT NULL THEN 0 END),
		('commerce_last_fold_timestamp_seconds', extract(epoch FROM greatest(w.last_fold_at, j.fold_at))),
		('commerce_horizon_age_seconds', greatest(h.seconds, 0)),
		('commerce_horizon_transactions', h.xids),
		('commerce_escrow_counters', e.counters),
		('commerce_escrow_in_flight_units', e.in_flight),
		('commerce_escrow_waiting_sessions', e.waiters),
		('commerce_escrow_loads', e.loads),
		('commerce_escrow_evictions_total', e.evictions),
		('commerce_scrub_last_round_timestamp_seconds', extract(epoch FROM b.ended_at)),
		('commerce_scrub_found', b.found),
		('commerce_outbox_bytes', s.bytes),
		('commerce_outbox_held_segments', s.held)) AS m (name, value)
$$;
COMMENT ON FUNCTION commerce_private.metrics_of_server() IS 'part server of metrics()';

CREATE FUNCTION commerce_private.metrics_of_jobs()
RETURNS TABLE (name text, labels jsonb, value double precision)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT m.name, pg_catalog.jsonb_build_object('task', j.name), m.value
	FROM commerce.job_status j
	LEFT JOIN commerce.maintenance w
		-- which does these as well
		ON w.database = pg_catalog.current_database() AND w.state IN ('WORKING', 'IDLE') AND j.name IN ('fold', 'expire-pending-orders')
	CROSS JOIN LATERAL (VALUES
		('commerce_job_last_finished_timestamp_seconds', extract(epoch FROM j.last_finished_at)),
		('commerce_job_last_rows', j.last_rows),
		('commerce_job_backlog', j.backlog),
		('commerce_job_failures_total', coalesce(j.failures, 0)),
		('commerce_job_failed', (j.state = 'FAILED')::int),
		('commerce_job_overdue', (j.state = 'OVERDUE' AND w.state IS NULL)::int)) AS m (name, value)
$$;
COMMENT ON FUNCTION commerce_private.metrics_of_jobs() IS 'part jobs of metrics()';

CREATE FUNCTION commerce_private.metrics_of_subscriptions()
RETURNS TABLE (name text, labels jsonb, value double precision)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT m.name, pg_catalog.jsonb_build_object('subscription', s.name), m.value
	FROM pg_catalog.jsonb_to_recordset(commerce_private.status_of_subscriptions())
		AS s (name text, state text, lag_events bigint, lag_seconds numeric, parked bigint, dead_letters bigint, last_success_at timestamptz)
	JOIN commerce.subscriptions u ON u.name = s.name
	CROSS JOIN LATERAL (VALUES
		('commerce_subscription_lag_events', s.lag_events),
		('commerce_subscription_lag_seconds', greatest(s.lag_seconds, 0)),
		('commerce_subscription_parked_events', s.parked),
		('commerce_subscription_dead_letters', s.dead_letters),
		('commerce_subscription_delivered_total', u.delivered),
		('commerce_subscription_failures_total', u.failures),
		('commerce_subscription_paused', (s.state = 'PAUSED')::int),
		('commerce_subscription_without_relay', (s.state = 'WAITING')::int),
		('commerce_subscription_last_success_timestamp_seconds', extract(epoch FROM s.last_success_at))) AS m (name, value)
$$;
COMMENT ON FUNCTION commerce_private.metrics_of_subscriptions() IS 'part subscriptions of metrics()';

CREATE FUNCTION commerce_private.metrics_of_waiting()
RETURNS TABLE (name text, labels jsonb, value double precision)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT m.name, pg_catalog.jsonb_build_object('kind', w.kind), m.value
	FROM pg_catalog.jsonb_to_recordset(commerce_private.status_of_waiting()) AS w (kind text, count bigint, oldest timestamptz)
	CROSS JOIN LATERAL (VALUES
		('commerce_waiting_count', w.count),
		('commerce_waiting_oldest_seconds', greatest(coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - w.oldest), 0), 0))) AS m (name, value)
$$;
COMMENT ON FUNCTION commerce_private.metrics_of_waiting() IS 'part waiting of metrics()';

CREATE FUNCTION commerce_private.metrics_of_refusals()
RETURNS TABLE (name text, labels jsonb, value double precision)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'commerce_refusals_total', pg_catalog.jsonb_build_object('code', r.code), r.count FROM commerce_private.refusals() r
$$;
COMMENT ON FUNCTION commerce_private.metrics_of_refusals() IS 'part refusals of metrics()';

CREATE FUNCTION commerce_private.metrics_of_orders()
RETURNS TABLE (name text, labels jsonb, value double precision)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
	most CONSTANT bigint := 100000;
	since timestamptz := pg_catalog.statement_timestamp() - interval '5 minutes';
	first bigint := greatest(commerce_private.first_order_since(since), (SELECT max(o.id) FROM commerce.orders o) - most + 1);
BEGIN
	RETURN QUERY
	SELECT m.name, pg_catalog.jsonb_build_object('status', s.status), m.value
	FROM pg_catalog.unnest(pg_catalog.enum_range(NULL::commerce.order_status)) AS s (status)
	LEFT JOIN (SELECT o.status, count(*) AS orders FROM commerce.orders o
			   WHERE o.id >= first AND o.created_at >= since AND NOT o.imported GROUP BY o.status) r ON r.status = s.status
	LEFT JOIN (SELECT t.status, t.frequency * c.reltuples AS orders
			   FROM pg_catalog.pg_stats p
			   JOIN pg_catalog.pg_class c ON c.oid = 'commerce.orders'::regclass
			   CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(p.most_common_vals::text::text[]), pg_catalog.unnest(p.most_common_freqs)) AS t (status, frequency)
			   WHERE p.schemaname = 'commerce' AND p.tablename = 'orders' AND p.attname = 'status' AND c.reltuples > 0) e ON e.status = s.status::text
	CROSS JOIN LATERAL (VALUES
		('commerce_orders_of_five_minutes', coalesce(r.orders, 0)::double precision),
		('commerce_orders_about', coalesce(e.orders, 0)::double precision)) AS m (name, value);
END
$$;
COMMENT ON FUNCTION commerce_private.metrics_of_orders() IS 'part orders of metrics()';

-- Slots are of cell 0, the subscription of the others; without cells there is neither.
CREATE FUNCTION commerce_private.metrics_of_cells()
RETURNS TABLE (name text, labels jsonb, value double precision)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT m.name, '{}'::jsonb, m.value
	FROM commerce_private.cell c
	CROSS JOIN (SELECT count(*) AS transfers, min(o.at) AS oldest
				FROM (SELECT t.at FROM commerce.open_transfers t ORDER BY t.at LIMIT 10000) o) o
	CROSS JOIN LATERAL (VALUES
		('commerce_open_transfers', o.transfers::double precision),
		('commerce_open_transfers_oldest_seconds', greatest(coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - o.oldest), 0), 0))) AS m (name, value)
	UNION ALL
	SELECT m.name, pg_catalog.jsonb_build_object('slot', s.slot_name), m.value
	FROM pg_catalog.pg_replication_slots s
	CROSS JOIN LATERAL (VALUES
		('commerce_catalogue_slot_up', s.active::int::double precision),
		('commerce_catalogue_slot_lost', (s.wal_status = 'lost')::int),
		('commerce_catalogue_slot_lag_bytes', CASE WHEN NOT pg_catalog.pg_is_in_recovery()
			THEN greatest(pg_catalog.pg_current_wal_lsn() - s.confirmed_flush_lsn, 0) END)) AS m (name, value)
	WHERE s.slot_name ~ '^commerce_cell_[0-9]+$' AND s.database = pg_catalog.current_database()
	UNION ALL
	SELECT m.name, '{}', m.value
	FROM pg_catalog.pg_subscription u
	JOIN pg_catalog.pg_database d ON d.oid = u.subdbid AND d.datname = pg_catalog.current_database()
	CROSS JOIN LATERAL (SELECT count(w.pid) AS workers, max(w.last_msg_receipt_time) AS heard_at
						FROM pg_catalog.pg_stat_subscription w WHERE w.subid = u.oid AND w.relid IS NULL) w
	CROSS JOIN LATERAL (SELECT count(*) AS copying FROM pg_catalog.pg_subscription_rel r WHERE r.srsubid = u.oid AND r.srsubstate <> 'r') r
	LEFT JOIN pg_catalog.pg_stat_subscription_stats e ON e.subid = u.oid
	CROSS JOIN LATERAL (VALUES
		('commerce_catalogue_up', least(w.workers, 1)::double precision),
		('commerce_catalogue_silent_seconds', CASE WHEN w.heard_at IS NOT NULL THEN greatest(extract(epoch FROM pg_catalog.clock_timestamp() - w.heard_at), 0) END),
		('commerce_catalogue_errors_total', e.apply_error_count + e.sync_error_count),
		('commerce_catalogue_copying_tables', r.copying)) AS m (name, value)
	-- to a standby it comes with all else
	WHERE u.subname = 'commerce_catalogue' AND NOT pg_catalog.pg_is_in_recovery()
$$;
COMMENT ON FUNCTION commerce_private.metrics_of_cells() IS 'part cells of metrics(): nothing in a shop of one cell';

CREATE FUNCTION commerce.metrics(part text DEFAULT NULL)
RETURNS TABLE (name text, labels jsonb, value double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.check_text('part', metrics.part);
	IF metrics.part <> ALL ('{server,jobs,subscriptions,waiting,refusals,orders,cells}') THEN
		PERFORM commerce_private.raise_invalid('part', 'must be server, jobs, subscriptions, waiting, refusals, orders or cells');
	END IF;
	RETURN QUERY
	SELECT m.name, m.labels, m.value
	FROM (SELECT * FROM commerce_private.metrics_of_server() WHERE coalesce(metrics.part, 'server') = 'server'
		  UNION ALL SELECT * FROM commerce_private.metrics_of_jobs() WHERE coalesce(metrics.part, 'jobs') = 'jobs'
		  UNION ALL SELECT * FROM commerce_private.metrics_of_subscriptions() WHERE coalesce(metrics.part, 'subscriptions') = 'subscriptions'
		  UNION ALL SELECT * FROM commerce_private.metrics_of_waiting() WHERE coalesce(metrics.part, 'waiting') = 'waiting'
		  UNION ALL SELECT * FROM commerce_private.metrics_of_refusals() WHERE coalesce(metrics.part, 'refusals') = 'refusals'
		  UNION ALL SELECT * FROM commerce_private.metrics_of_orders() WHERE coalesce(metrics.part, 'orders') = 'orders'
		  UNION ALL SELECT * FROM commerce_private.metrics_of_cells() WHERE coalesce(metrics.part, 'cells') = 'cells') m
	WHERE m.value IS NOT NULL;
END
$$;
COMMENT ON FUNCTION commerce.metrics(text) IS
	'what an operator alerts on, as numbers for a monitoring system: all, or one part. docs/monitoring.md says what each means. Cheap: it reads nothing that grows with the shop, and counts up to 10 000. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce.grant_monitor(role regrole)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	views CONSTANT regclass[] := '{commerce.job_status,commerce.maintenance,commerce.escrow,commerce.horizon,commerce.subscription_status,commerce.outbox_segments,commerce.scrub}'::regclass[];
BEGIN
	PERFORM commerce_private.require_role(grant_monitor.role);
	PERFORM commerce_private.close_row_types();
	EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA commerce TO %s', grant_monitor.role);
	EXECUTE pg_catalog.format('GRANT SELECT ON TABLE %s TO %s', pg_catalog.array_to_string(views, ', '), grant_monitor.role);
	EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION commerce.metrics(text), %s TO %s',
		(SELECT pg_catalog.string_agg(f::text, ', ') FROM commerce_private.view_functions(views) f), grant_monitor.role);
END
$$;
COMMENT ON FUNCTION commerce.grant_monitor(regrole) IS
	'lets a monitoring role call metrics() and read job_status, maintenance, escrow, horizon, subscription_status, outbox_segments and scrub, and nothing of the shop''s data; for the owner of the extension. revoke_app() takes it back. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

-- sql/install/api/endpoints.sql

-- REST: what can be called. One row here is one function of commerce_api, with its check of the request,
-- its privileges, its part of the OpenAPI document and of the tests. What it takes follows from the
-- signature of the function behind it.

CREATE FUNCTION commerce_private.api_internal()
RETURNS text[]
LANGUAGE C IMMUTABLE
AS 'MODULE_PATHNAME', 'commerce_api_internal';
COMMENT ON FUNCTION commerce_private.api_internal() IS 'columns that only the extension uses: no answer has them';

-- Documents that only REST answers.
CREATE FUNCTION commerce_private.api_get_product(product_id bigint)
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	product jsonb;
BEGIN
	SELECT pg_catalog.to_jsonb(p) INTO product FROM commerce_api.products p
	WHERE p.id = api_get_product.product_id;
	IF product IS NULL THEN
		PERFORM commerce_private.raise_not_found('product', api_get_product.product_id);
	END IF;
	RETURN product;
END
$$;
COMMENT ON FUNCTION commerce_private.api_get_product(bigint) IS 'a product of the catalogue';

CREATE FUNCTION commerce_private.api_get_order(order_id bigint, actor commerce.actor_kind, actor_id bigint)
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	document jsonb;
BEGIN
	SELECT (pg_catalog.to_jsonb(o) - commerce_private.api_internal())
		|| pg_catalog.jsonb_build_object(
			'items', (SELECT pg_catalog.jsonb_agg((pg_catalog.to_jsonb(i) - 'order_id' - commerce_private.api_internal())
						|| pg_catalog.jsonb_build_object('history',
							(SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(e) - 'order_item_id' - commerce_private.api_internal() ORDER BY e.ordinal)
							 FROM commerce_private.all_order_item_events e WHERE e.order_item_id = i.id AND e.month = o.month)) ORDER BY i.seq)
					  FROM commerce_private.all_order_items i WHERE i.order_id = o.id AND i.month = o.month),
			'coupons', coalesce((SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(c) - 'order_id' - commerce_private.api_internal() ORDER BY c.coupon_issue_id)
					  FROM commerce_private.all_order_coupons c WHERE c.order_id = o.id AND c.month = o.month), '[]'),
			'payments', coalesce((SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(p) - 'order_id' - commerce_private.api_internal() ORDER BY p.id)
					  FROM commerce_private.all_payments p WHERE p.order_id = o.id AND p.month = o.month), '[]'))
	INTO document
	FROM commerce_private.all_orders o
	WHERE o.id = api_get_order.order_id
	  AND (api_get_order.actor = 'ADMIN' OR o.user_id = api_get_order.actor_id);
	IF document IS NULL THEN
		PERFORM commerce_private.raise_not_found('order', api_get_order.order_id);
	END IF;
	RETURN document;
END
$$;
COMMENT ON FUNCTION commerce_private.api_get_order(bigint, commerce.actor_kind, bigint) IS
	'a buyer''s order, archived or not, or any for an administrator, with items, their history, coupons and payments';

-- Whose word is it that the money came? In SQL the caller's; over REST the buyer's own, if the shop takes it.
CREATE FUNCTION commerce_private.api_charge_balance(user_id bigint, amount bigint, idempotency_key text DEFAULT NULL)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	answer jsonb;
BEGIN
	IF commerce_private.setting('commerce.direct_charge')::boolean THEN
		SELECT pg_catalog.to_jsonb(c) INTO answer
		FROM commerce.charge_balance(api_charge_balance.user_id, api_charge_balance.amount, api_charge_balance.idempotency_key) c;
	ELSE
		SELECT pg_catalog.to_jsonb(p) - commerce_private.api_internal() INTO answer
		FROM commerce.request_charge(api_charge_balance.user_id, api_charge_balance.amount,
			idempotency_key => api_charge_balance.idempotency_key) p;
	END IF;
	RETURN answer;
END
$$;
COMMENT ON FUNCTION commerce_private.api_charge_balance(bigint, bigint, text) IS
	'charge_balance() where commerce.direct_charge is on, else request_charge(). Errors: those of charge_balance(), those of request_charge()';

-- What is a seller's or a buyer's: somebody else's reads as not found.
CREATE FUNCTION commerce_private.api_require_own(kind text, id text, user_id bigint, seller_id bigint)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own boolean;
BEGIN
	CASE api_require_own.kind
		WHEN 'product_id' THEN
			own := EXISTS (SELECT FROM commerce.products p
						   WHERE p.id = api_require_own.id::bigint AND p.seller_id = api_require_own.seller_id);
		WHEN 'coupon_id' THEN
			own := EXISTS (SELECT FROM commerce.coupons c
						   WHERE c.id = api_require_own.id::bigint AND c.seller_id = api_require_own.seller_id);
		WHEN 'promotion_id' THEN
			own := EXISTS (SELECT FROM commerce.promotions m JOIN commerce.products p ON p.id = m.product_id
						   WHERE m.id = api_require_own.id::bigint AND p.seller_id = api_require_own.seller_id);
		WHEN 'coupon_issue_id' THEN
			own := EXISTS (SELECT FROM commerce.coupon_issues i JOIN commerce.coupons c ON c.id = i.coupon_id
						   WHERE i.id = api_require_own.id::bigint AND c.seller_id = api_require_own.seller_id);
		WHEN 'shipment_id' THEN
			own := EXISTS (SELECT FROM commerce_private.all_shipments s
						   WHERE s.id = api_require_own.id::bigint AND s.seller_id = api_require_own.seller_id);
		WHEN 'order_id' THEN
			own := EXISTS (SELECT FROM commerce_private.all_orders o
						   WHERE o.id = api_require_own.id::bigint AND o.user_id = api_require_own.user_id);
		WHEN 'order_sheet_id' THEN
			own := EXISTS (SELECT FROM commerce.order_sheets s
						   WHERE s.id = api_require_own.id::uuid AND s.user_id = api_require_own.user_id);
	END CASE;
	IF NOT own THEN
		PERFORM commerce_private.raise_error('ENTITY_NOT_FOUND', pg_catalog.jsonb_build_object(
			'entity', pg_catalog.regexp_replace(api_require_own.kind, '_id$', ''), 'id', api_require_own.id));
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.api_require_own(text, text, bigint, bigint) IS
	'ENTITY_NOT_FOUND unless the thing that an argument names belongs to the caller';

-- What is found by the answer, by the request, or by the order that either names.
CREATE FUNCTION commerce_private.api_person(request jsonb, body text)
RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	answer jsonb := body::jsonb -> 'data';
	user_id bigint := coalesce((answer ->> 'user_id')::bigint, (request ->> 'user_id')::numeric,
							   (request -> 'imported' ->> 'user_id')::numeric);
	order_id bigint := coalesce((answer ->> 'order_id')::bigint, (request ->> 'order_id')::numeric);
BEGIN
	IF user_id IS NULL AND order_id IS NULL THEN
		SELECT i.order_id INTO order_id FROM commerce.order_items i WHERE i.id = (request ->> 'order_item_id')::numeric::bigint;
	END IF;
	IF user_id IS NULL THEN
		SELECT o.user_id INTO user_id FROM commerce.orders o WHERE o.id = order_id;
	END IF;
	RETURN coalesce(user_id, 0);
END
$$;
COMMENT ON FUNCTION commerce_private.api_person(jsonb, text) IS
	'whose data the answer to a seller or administrator has in it; 0: nobody''s';

-- What is shown with more than its own columns is answered so too; an order to a seller as seller_orders shows it, to
-- others, as an order sheet, with its lines (api_answer.c). VOLATILE: to see what the call has written.
CREATE FUNCTION commerce_private.api_complete_order(id bigint)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (SELECT pg_catalog.to_jsonb(s) FROM commerce_private.api_seller_orders s WHERE s.id = api_complete_order.id);
END
$$;
COMMENT ON FUNCTION commerce_private.api_complete_order(bigint) IS 'what is the seller''s of an order';

CREATE FUNCTION commerce_private.api_complete_product(id bigint)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (SELECT pg_catalog.to_jsonb(p) FROM commerce_api.my_products p WHERE p.id = api_complete_product.id);
END
$$;
COMMENT ON FUNCTION commerce_private.api_complete_product(bigint) IS 'a product as my_products shows it';

CREATE FUNCTION commerce_private.api_complete_coupon(id bigint)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (SELECT pg_catalog.to_jsonb(c) FROM commerce_api.coupons c WHERE c.id = api_complete_coupon.id);
END
$$;
COMMENT ON FUNCTION commerce_private.api_complete_coupon(bigint) IS 'a coupon as coupons shows it';

CREATE FUNCTION commerce_private.api_complete_promotion(id bigint)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (SELECT pg_catalog.to_jsonb(p) FROM commerce_api.promotions p WHERE p.id = api_complete_promotion.id);
END
$$;
COMMENT ON FUNCTION commerce_private.api_complete_promotion(bigint) IS 'a promotion as promotions shows it';

-- A view of constants, not a table: what is executed is nobody's to write.
CREATE VIEW commerce_private.api_endpoints AS
SELECT e.name, coalesce(e.function, 'commerce.' || e.name) AS function, e.roles::commerce_private.api_role[] AS roles,
	   e.reads, e.as_caller, e.optional::text[] AS optional, e.result, e.completion,
	   e.location, e.summary, e.example::jsonb AS example,
	   -- left out are those that find their work done when they are called again: they change nothing, or answer 409
	   NOT e.reads AND e.name <> ALL ('{sign_up,claim_coupon,cancel_order,set_product_status,set_user_status,stop_coupon,end_promotion,'
		   'revoke_coupon,change_shipment_status,erase_user,confirm_payment,confirm_charge,report_refund,expire_coupons,'
		   'expire_pending_orders,refresh_popular_products,run_job,schedule_jobs,unschedule_jobs,subscribe,unsubscribe,'
		   'ack_events,pause_subscription,resume_subscription,set_http_sink,set_kafka_sink,remove_sink,discard_dead_letters}'::text[]) AS keyed,
	   e.reads OR e.name = ANY ('{cancel_order,cancel_order_item,change_item_status,dispatch_items,change_shipment_status,'
		   'update_shipment,complete_return,complete_exchange}') AS inactive
FROM (VALUES
	-- the catalogue
	('get_product', 'commerce_private.api_get_product', '{ANONYMOUS}', true, false, '{}', NULL, NULL, NULL,
	 'a product of the catalogue', '{"product_id": 1}'),
	-- whoever comes with a token
	('sign_up', NULL, '{BUYER}', false, true, '{}', NULL, NULL, '/users?id=eq.{id}',
	 'makes a buyer of a person whose token names nobody yet; answers who the person is, so that it can be called at each sign-in', '{"name": "Kim Minji", "email": "minji@example.com"}'),
	-- a buyer's own
	('get_balance', NULL, '{BUYER,ADMIN}', true, true, '{}', NULL, NULL, NULL,
	 'the caller''s prepaid balance; for an administrator anybody''s', '{}'),
	('balance_statement', NULL, '{BUYER,ADMIN}', true, true, '{}', NULL, NULL, NULL,
	 'what came into the caller''s balance and went out, newest first; for an administrator anybody''s', '{"max_rows": 20}'),
	('charge_balance', 'commerce_private.api_charge_balance', '{BUYER}', false, true, '{}', NULL, NULL, '/payments?id=eq.{id}',
	 'adds to the caller''s prepaid balance, at once where commerce.direct_charge is on, or when a payment provider has answered', '{"amount": 10000}'),
	('request_charge', NULL, '{BUYER}', false, true, '{}', NULL, NULL, '/payments?id=eq.{id}',
	 'asks a payment provider for a charge of the caller''s prepaid balance', '{"amount": 10000, "payment_channel": "card"}'),
	('claim_coupon', NULL, '{BUYER}', false, true, '{}', NULL, NULL, '/coupon_issues?id=eq.{id}',
	 'claims a coupon, first come first served, once per user', '{"coupon_id": 1}'),
	('usable_coupons', NULL, '{BUYER}', true, true, '{}', NULL, NULL, NULL,
	 'the caller''s coupons that can be used now', '{}'),
	('place_order', NULL, '{BUYER}', false, true, '{}', NULL, 'order', '/rpc/get_order?order_id={id}',
	 'orders and pays, or, with payment_method EXTERNAL, holds stock and coupons until the payment is confirmed',
	 '{"items": [{"product_id": 1, "quantity": 2, "coupon_issue_id": 1}], "coupon_issue_ids": [2], "payment_method": "BALANCE"}'),
	('create_order_sheet', NULL, '{BUYER}', false, true, '{}', NULL, 'order_sheet', '/order_sheets?id=eq.{id}',
	 'prices what the caller wants to order; holds neither stock nor coupons',
	 '{"items": [{"product_id": 1, "quantity": 2}], "coupon_issue_ids": [2]}'),
	('place_sheet_order', NULL, '{BUYER}', false, false, '{}', NULL, 'order', '/rpc/get_order?order_id={id}',
	 'makes the order of a sheet, at its price or a lower one', '{"order_sheet_id": "7d3c6f3e-6b0a-4d0e-9d3a-0d5b1a2c3d4e", "payment_method": "BALANCE"}'),
	('retry_payment', NULL, '{BUYER}', false, true, '{}', NULL, 'order', '/rpc/get_order?order_id={id}',
	 'takes stock and coupons of an unpaid order that has ended again, at its old price, until the payment is confirmed', '{"order_id": 1}'),
	('get_order', 'commerce_private.api_get_order', '{BUYER,ADMIN}', true, false, '{}', NULL, NULL, NULL,
	 'an order with its items, their history, coupons and payments', '{"order_id": 1}'),
	('cancel_order', NULL, '{BUYER,ADMIN}', false, false, '{}', NULL, 'order', NULL,
	 'cancels all that is left of an order, before anything of it is dispatched, and refunds it', '{"order_id": 1, "note": "changed my mind"}'),
	('cancel_order_item', NULL, '{BUYER,SELLER,ADMIN}', false, false, '{}', NULL, 'order', NULL,
	 'cancels units of an order item before dispatch and refunds them', '{"order_item_id": 1, "quantity": 1, "note": "one too many"}'),
	('change_item_status', NULL, '{BUYER,SELLER,ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'takes an order item, or part of it, to its next status: a buyer confirms, or asks for a cancellation, a return or an exchange; a seller dispatches, delivers, and accepts or refuses what a buyer asks for',
	 '{"order_item_id": 1, "new_status": "RETURN_REQUESTED", "note": "too small", "quantity": 1}'),
	('update_delivery', NULL, '{BUYER,ADMIN}', false, false, '{}', NULL, 'order', NULL,
	 'changes whom and where an order goes to, before anything of it is dispatched', '{"order_id": 1, "delivery": {"address": "1 Sejong-daero, Seoul", "memo": "at the door"}}'),
	('dispatch_items', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, NULL, '/shipments?id=eq.{id}',
	 'sends items of one order and one seller as one parcel', '{"order_item_ids": [1], "carrier": "Korea Post", "tracking_number": "6892-1234"}'),
	('change_shipment_status', NULL, '{SELLER,ADMIN}', false, false, '{}', 'moved', NULL, NULL,
	 'takes all items of a parcel to IN_TRANSIT or DELIVERED, or back to PREPARING', '{"shipment_id": 1, "new_status": "DELIVERED"}'),
	('update_shipment', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'corrects carrier or tracking number of a parcel', '{"shipment_id": 1, "tracking_number": "6892-1235"}'),
	('complete_return', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, 'order', NULL,
	 'takes what came back, or was lost on the way, and refunds it', '{"order_item_id": 1, "restock": false, "deduction": 3000, "note": "used"}'),
	('complete_exchange', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'takes what came back and sends a replacement', '{"order_item_id": 1, "replacement_product_id": 2}'),
	-- everybody's own; an administrator's all
	('update_user', NULL, '{BUYER,SELLER,ADMIN}', false, true, '{}', NULL, NULL, NULL,
	 'changes what is given of the caller; an administrator says of whom, and alone changes external_id', '{"phone": "010-1111-1111", "clear": ["address"]}'),
	('export_user', NULL, '{BUYER,ADMIN}', true, true, '{}', NULL, NULL, NULL,
	 'all that is kept about the caller; for an administrator about anybody', '{}'),
	-- a seller's own; an administrator's all
	('update_seller', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'changes what is given of a seller; registration_number is for administrators', '{"shipping_fee": 3000, "free_shipping_from": 50000, "clear": ["category"]}'),
	('create_product', NULL, '{SELLER,ADMIN}', false, false, '{seller_id}', 'product_id', NULL, '/rpc/get_product?product_id={product_id}',
	 'puts a product on sale', '{"name": "Mug", "price": 12000, "stock": 100, "description": "350 ml", "category": "kitchen", "discount": 1000, "shipping_fee": 3000, "max_per_order": 10, "sku": "MUG-350", "image_urls": ["https://shop.example/mug.jpg"]}'),
	('update_product', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, 'product', NULL,
	 'changes what is given of a product', '{"product_id": 1, "price": 11000}'),
	('set_product_status', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, 'product', NULL,
	 'puts a product on sale or discontinues it', '{"product_id": 1, "status": "DISCONTINUED"}'),
	('adjust_stock', NULL, '{SELLER,ADMIN}', false, false, '{}', 'available', NULL, NULL,
	 'adds units to a product''s stock, or takes them off', '{"product_id": 1, "delta": 50, "note": "delivery"}'),
	('create_promotion', NULL, '{SELLER,ADMIN}', false, false, '{}', 'promotion_id', NULL, '/promotions?id=eq.{promotion_id}',
	 'discounts a product for a time', '{"product_id": 1, "kind": "PERCENT", "value": 10, "starts_at": "2026-12-01T00:00:00+09:00", "ends_at": "2026-12-08T00:00:00+09:00"}'),
	('update_promotion', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, 'promotion', NULL,
	 'changes what is given of a promotion', '{"promotion_id": 1, "ends_at": "2026-12-10T00:00:00+09:00"}'),
	('end_promotion', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, 'promotion', NULL,
	 'ends a promotion at once', '{"promotion_id": 1}'),
	('create_coupon', NULL, '{SELLER,ADMIN}', false, false, '{}', 'coupon_id', NULL, '/coupons?id=eq.{coupon_id}',
	 'offers a coupon', '{"name": "Welcome", "kind": "PERCENT", "value": 10, "quantity": 100, "valid_days": 30, "min_order_amount": 10000, "max_discount": 5000, "round_unit": 100}'),
	('sales_report', NULL, '{SELLER,ADMIN}', true, false, '{seller_id}', NULL, NULL, NULL,
	 'what the seller has sold, by day, product and kind of fact; for an administrator any seller''s, or the shop''s own', '{"from_date": "2026-11-01", "to_date": "2026-11-30"}'),
	('update_coupon', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, 'coupon', NULL,
	 'changes what is given of a coupon; what was issued keeps its terms', '{"coupon_id": 1, "quantity": 200, "clear": ["description"]}'),
	('issue_coupon', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'gives a coupon to a chosen user, out of its quantity', '{"coupon_id": 1, "user_id": 2, "note": "sorry"}'),
	('stop_coupon', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, 'coupon', NULL,
	 'ends claiming of a coupon; what was issued stays', '{"coupon_id": 1}'),
	('revoke_coupon', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'takes an unused coupon from a user', '{"coupon_issue_id": 1, "note": "abuse"}'),
	-- administrators
	('create_user', NULL, '{ADMIN}', false, false, '{}', 'user_id', NULL, '/users?id=eq.{user_id}',
	 'creates a user', '{"name": "Kim", "email": "kim@example.com", "phone": "010-0000-0000", "role": "BUYER"}'),
	('create_seller', NULL, '{ADMIN}', false, false, '{}', 'seller_id', NULL, '/sellers?id=eq.{seller_id}',
	 'records the business of a user of role SELLER', '{"user_id": 3, "business_name": "Mugs", "registration_number": "123-45-67890"}'),
	('import_user', NULL, '{ADMIN}', false, false, '{}', 'user_id', NULL, '/users?id=eq.{user_id}',
	 'moving in: brings a user with the balance', '{"imported": {"name": "Kim", "email": "kim@example.com", "balance": 5000}}'),
	('import_order', NULL, '{ADMIN}', false, false, '{}', 'order_id', NULL, '/rpc/get_order?order_id={order_id}',
	 'moving in: brings an order that is over',
	 '{"imported": {"user_id": 1, "items": [{"product_id": 1, "quantity": 1, "unit_price": 12000}], "payment_amount": 12000, "paid_at": "2026-05-01T09:00:00+09:00"}}'),
	('import_coupon_issue', NULL, '{ADMIN}', false, false, '{}', 'coupon_issue_id', NULL, '/coupon_issues?id=eq.{coupon_issue_id}',
	 'moving in: brings a coupon that a user holds', '{"imported": {"user_id": 1, "coupon_id": 1, "expires_at": "2027-01-31T00:00:00+09:00"}}'),
	('find_user', NULL, '{ADMIN}', true, false, '{}', NULL, NULL, NULL,
	 'the user with an e-mail or an external_id', '{"email": "kim@example.com"}'),
	('erase_user', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'deletes what is personal of a user who has no business open', '{"user_id": 7, "note": "asked for by mail"}'),
	('adjust_balance', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'corrects a user''s balance, grants something or pays it out', '{"user_id": 1, "amount": -500, "note": "paid out"}'),
	('set_user_status', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'suspends, withdraws or reactivates a user', '{"user_id": 2, "status": "SUSPENDED"}'),
	('expire_coupons', NULL, '{ADMIN}', false, false, '{}', 'expired', NULL, NULL,
	 'marks overdue coupons', '{"max_rows": 1000}'),
	('confirm_payment', NULL, '{ADMIN}', false, false, '{}', NULL, 'order', NULL,
	 'takes a payment provider''s answer for an order', '{"order_id": 1, "succeeded": true, "provider_event_id": "evt-1"}'),
	('confirm_charge', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'takes a payment provider''s answer for a charge', '{"payment_id": 1, "succeeded": true, "provider_event_id": "evt-3"}'),
	('return_payment', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'gives back a payment that nobody asked for', '{"payment_id": 1, "note": "paid twice"}'),
	('refund_order', NULL, '{ADMIN}', false, false, '{}', NULL, 'order', NULL,
	 'gives back some of what an order was paid, for goodwill or to put a mistake right', '{"order_id": 1, "amount": 1000, "note": "came late"}'),
	('report_refund', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'takes a payment provider''s answer for a refund', '{"payment_id": 2, "succeeded": true, "provider_event_id": "evt-2"}'),
	('expire_pending_orders', NULL, '{ADMIN}', false, false, '{}', 'expired', NULL, NULL,
	 'cancels orders whose time to pay is over', '{"max_rows": 1000}'),
	('refresh_popular_products', NULL, '{ADMIN}', false, false, '{}', 'rows', NULL, NULL,
	 'counts best sellers anew', '{}'),
	('run_job', 'commerce_private.run_job', '{ADMIN}', false, false, '{}', 'rows', NULL, NULL,
	 'runs a periodic job now; of one that is done in batches, the next batch', '{"name": "popular-products"}'),
	('schedule_jobs', NULL, '{ADMIN}', false, false, '{}', 'jobs', NULL, NULL,
	 'hands the periodic jobs to pg_cron', '{}'),
	('unschedule_jobs', NULL, '{ADMIN}', false, false, '{}', 'jobs', NULL, NULL,
	 'takes the periodic jobs out of pg_cron', '{}'),
	('shop_status', 'commerce_private.api_shop_status', '{ADMIN}', true, false, '{}', NULL, NULL, NULL,
	 'the state of the shop at a glance, as the page rpc/operator shows it', '{}'),
	('check_invariants', NULL, '{ADMIN}', true, false, '{}', NULL, NULL, NULL,
	 'proves the books: what does not hold; empty when all is well', '{}'),
	('subscribe', NULL, '{ADMIN}', false, false, '{}', 'position', NULL, '/subscriptions?name=eq.{name}',
	 'makes a subscription to events', '{"name": "warehouse", "event_types": ["DeliveryRequested"], "from_start": true}'),
	('unsubscribe', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'deletes a subscription', '{"subscription": "warehouse"}'),
	('fetch_events', NULL, '{ADMIN}', true, false, '{}', NULL, NULL, NULL,
	 'the next events of a subscription after its cursor', '{"subscription": "warehouse", "max_events": 100}'),
	('ack_events', NULL, '{ADMIN}', false, false, '{}', 'cursor', NULL, NULL,
	 'says that the events up to a position are dealt with', '{"subscription": "warehouse", "up_to": "00000001-0000000000000300-0000000000000001"}'),
	('seek_subscription', NULL, '{ADMIN}', false, false, '{}', 'cursor', NULL, NULL,
	 'sets the cursor of a subscription', '{"subscription": "warehouse", "to_time": "2026-12-01T00:00:00+09:00"}'),
	('pause_subscription', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'stops a subscription''s events', '{"subscription": "warehouse", "reason": "moving"}'),
	('resume_subscription', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'ends a pause', '{"subscription": "warehouse"}'),
	('set_http_sink', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'lets the relay POST a subscription''s events to a URL', '{"subscription": "warehouse", "url": "https://warehouse.example/events", "secret_name": "warehouse", "batch_size": 10}'),
	('set_kafka_sink', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'lets the relay produce a subscription''s events to a Kafka topic', '{"subscription": "warehouse", "brokers": "kafka.example:9092", "topic": "orders"}'),
	('remove_sink', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'leaves a subscription to clients that fetch', '{"subscription": "warehouse"}'),
	('redeliver', NULL, '{ADMIN}', false, false, '{}', 'events', NULL, NULL,
	 'hands dead letters to the relay again', '{"subscription": "warehouse"}'),
	('discard_dead_letters', NULL, '{ADMIN}', false, false, '{}', 'events', NULL, NULL,
	 'deletes dead letters', '{"subscription": "warehouse"}')
) AS e (name, function, roles, reads, as_caller, optional, result, completion, location, summary, example);
COMMENT ON VIEW commerce_private.api_endpoints IS 'the functions of commerce_api';
COMMENT ON COLUMN commerce_private.api_endpoints.function IS 'the function behind it, with its schema';
COMMENT ON COLUMN commerce_private.api_endpoints.roles IS 'who may call it; ANONYMOUS: everybody';
COMMENT ON COLUMN commerce_private.api_endpoints.reads IS 'writes nothing: its arguments are named ones, so that it can be called with GET';
COMMENT ON COLUMN commerce_private.api_endpoints.as_caller IS 'the argument user_id (where there is none, external_id) is the caller, not one of the request, but for an administrator''s';
COMMENT ON COLUMN commerce_private.api_endpoints.optional IS 'arguments that may be left out although the function has no default for them';
COMMENT ON COLUMN commerce_private.api_endpoints.result IS 'what a scalar result is called in the answer';
COMMENT ON COLUMN commerce_private.api_endpoints.completion IS 'what the answer of a row shows beside the row, or instead of it';
COMMENT ON COLUMN commerce_private.api_endpoints.location IS 'where a thing made can be read; {key} stands for that value of the answer, or else of the request';
COMMENT ON COLUMN commerce_private.api_endpoints.example IS 'a request';
COMMENT ON COLUMN commerce_private.api_endpoints.keyed IS 'an Idempotency-Key has the first answer come again; else the header is ignored';
COMMENT ON COLUMN commerce_private.api_endpoints.inactive IS 'a buyer or seller who is suspended or withdrawn may call it, too; the functions behind judge that';

CREATE TABLE commerce_private.api_notes (
	argument    text PRIMARY KEY,
	description text NOT NULL
);
COMMENT ON TABLE commerce_private.api_notes IS 'what the arguments of the functions of commerce_api mean; constant';
INSERT INTO commerce_private.api_notes (argument, description) VALUES
	('address', 'postal address'),
	('amount', 'in the smallest unit of the currency; of a charge above 0, at most commerce.charge_max, a multiple of commerce.charge_unit'),
	('balance_part', 'of an EXTERNAL order: so much of it from the balance, the rest by the provider'),
	('before', 'entries older than that number'),
	('batch_size', 'most events in one request; 1: each alone'),
	('brokers', 'bootstrap servers, host:port, comma-separated'),
	('business_name', 'name of the business'),
	('carrier', 'who carries the parcel'),
	('category', 'category, any text'),
	('claimable', 'whether users can claim it; else it is given out by issue_coupon'),
	('clear', 'attributes to be emptied'),
	('coupon_id', 'the coupon'),
	('coupon_issue_id', 'a coupon that a user holds'),
	('coupon_issue_ids', 'coupons of the caller for the whole order: at most one that takes off the amount, and one for shipping'),
	('cs_phone', 'telephone number of customer service'),
	('deduction', 'what is kept back, such as a return fee'),
	('delivery', 'recipient: name, phone, address and memo, each the caller''s own where left out'),
	('delta', 'units: positive come in, up to a stock of 1 000 000 000 000; negative go out'),
	('description', 'description'),
	('discount', 'instant discount per unit'),
	('email', 'address such as kim@example.com, unique'),
	('event_position', 'one event, by its position; left out: all'),
	('event_types', 'only events of these types; left out: all'),
	('external_id', 'subject that the identity provider knows the person by, unique'),
	('free_shipping_from', 'amount of goods from which these lines are sent free'),
	('from_date', 'the first day, in commerce.timezone'),
	('from_start', 'begin with the oldest event there is, not with the next one'),
	('group_id', 'product of whose variants this is one, such as a size'),
	('image_urls', 'addresses of pictures, at most 100'),
	('imported', 'what is brought, an object'),
	('issue_from', 'can be claimed from then on; left out: now'),
	('issue_until', 'can be claimed until just before'),
	('items', 'lines: product, how many, and a coupon of the caller for that product'),
	('kind', 'how money is taken off'),
	('max_attempts', 'an event that has failed so often becomes a dead letter'),
	('max_discount', 'cap: the most that the coupon takes off'),
	('max_events', 'at most so many'),
	('max_per_order', 'most units in one order; left out: no limit'),
	('max_per_user', 'most units for one user in all orders; left out: no limit'),
	('max_rows', 'at most so many at once'),
	('max_units', 'to how many units of its line a product''s coupon applies; left out: to all'),
	('metadata', 'an object of the shop''s own, at most 16 384 bytes'),
	('min_order_amount', 'what the eligible lines must come to'),
	('name', 'name'),
	('new_status', 'the status to enter; order_item_transitions says which can follow which'),
	('note', 'for the history'),
	('order_id', 'the order'),
	('order_item_id', 'a row of order_items'),
	('order_item_ids', 'rows of order_items, of one order and one seller'),
	('order_sheet_id', 'a sheet of the caller'),
	('payment_channel', 'how the provider is to be paid, such as card'),
	('payment_method', 'BALANCE: paid at once; EXTERNAL: a payment provider answers later'),
	('payment_id', 'the payment'),
	('phone', 'telephone number'),
	('price', 'per unit, before discounts'),
	('product_id', 'the product'),
	('promotion_id', 'the promotion'),
	('provider_event_id', 'the payment provider''s own id of its answer: the same answer twice has one effect'),
	('quantities', 'as long as the ids: how many of each; a smaller number is split off'),
	('quantity', 'how many'),
	('reason', 'shown with the subscription'),
	('registration_number', 'business registration number, unique'),
	('replacement_product_id', 'another product of the seller, of the same price now; left out: the same product'),
	('restock', 'whether what came back can be sold'),
	('role', 'what the user is in the shop'),
	('round_unit', 'a percentage is floored to a multiple of this amount'),
	('secret_name', 'name of a secret in the relay''s own file'),
	('seller_id', 'the seller; an administrator says which, or leaves it out for the shop itself'),
	('shipment_id', 'the parcel'),
	('shipping_fee', 'once per order line; of a seller once per order, for all lines without a fee of their own'),
	('sku', 'number of the product, unique within a seller''s'),
	('starts_at', 'from then on'),
	('ends_at', 'until just before'),
	('status', 'the status to set'),
	('stock', 'units to begin with, from 0 to 1 000 000 000 000'),
	('subscription', 'name of the subscription'),
	('succeeded', 'whether it succeeded'),
	('tax_exempt', 'whether its price has no tax in it'),
	('to_position', 'after this event'),
	('to_date', 'the last day'),
	('to_time', 'with the first event written then or later'),
	('topic', 'Kafka topic'),
	('tracking_number', 'the carrier''s number of the parcel'),
	('up_to', 'position of the last event that is dealt with, as fetch_events answered it'),
	('url', 'where to POST events'),
	('user_id', 'the user'),
	('valid_days', 'an issued coupon expires so many days after its issue'),
	('valid_until', 'an issued coupon expires at this moment'),
	('value', 'an amount (FIXED), or percent 1 to 100 (PERCENT)');

-- Where each argument of the function behind comes from: BODY, the request; USER, the token; KEY, the
-- header Idempotency-Key; ACTOR and ACTOR_ID, what and who the caller is; OWNER, the request when the caller is an
-- administrator, else the token; SELLER, the caller when it is a seller, else the request; SUBJECT, the token's subject,
-- which need not be a user's yet. Some are not offered:
-- how long stock is held without money is not a buyer's to say.
CREATE VIEW commerce_private.api_arguments AS
	SELECT a.endpoint, pg_catalog.row_number() OVER (PARTITION BY a.endpoint ORDER BY a.n)::int AS position, a.argument, a.type, a.source,
		   a.source IN ('BODY', 'OWNER', 'SELLER') AS asked, a.needs_value AND NOT a.optional AS required
	FROM (
		SELECT e.name AS endpoint, i.n, i.argument, i.type::regtype AS type, i.n <= f.pronargs - f.pronargdefaults AS needs_value,
			   i.argument = ANY (e.optional) AS optional,
			   CASE WHEN i.argument = 'idempotency_key' THEN 'KEY'
					WHEN i.argument = 'actor' THEN 'ACTOR'
					WHEN i.argument = 'actor_id' AND 'actor' = ANY (f.proargnames) THEN 'ACTOR_ID'
					WHEN i.argument = 'actor_id' THEN 'USER'
					WHEN i.argument = 'user_id' AND e.as_caller AND 'ADMIN' = ANY (e.roles) THEN 'OWNER'
					WHEN i.argument = 'user_id' AND e.as_caller THEN 'USER'
					WHEN i.argument = 'external_id' AND e.as_caller AND 'user_id' <> ALL (f.proargnames) THEN 'SUBJECT'
					WHEN i.argument = 'seller_id' AND 'SELLER' = ANY (e.roles) THEN 'SELLER'
					ELSE 'BODY' END AS source
		FROM commerce_private.api_endpoints e
		JOIN pg_catalog.pg_proc f ON f.oid = e.function::regproc
		CROSS JOIN LATERAL (
			SELECT a.argument, a.type, pg_catalog.row_number() OVER (ORDER BY a.ordinality) AS n
			FROM ROWS FROM (
				pg_catalog.unnest(f.proargnames),
				pg_catalog.unnest(coalesce(f.proallargtypes, f.proargtypes::oid[])),
				pg_catalog.unnest(f.proargmodes)) WITH ORDINALITY a (argument, type, mode, ordinality)
			WHERE a.type IS NOT NULL AND coalesce(a.mode, 'i') IN ('i', 'b')) i
		WHERE i.argument <> 'pay_within'
		  -- a call's answer is kept here; the key of a charge is known for good there
		  AND (i.argument <> 'idempotency_key' OR e.name IN ('charge_balance', 'request_charge'))) a;
COMMENT ON VIEW commerce_private.api_arguments IS 'the arguments of the functions behind api_endpoints, and where they come from; asked: a request can have it; what is left out has its default, or is NULL';

-- The same once more in one row, which a backend's first call reads. What is executed is not in it: the function behind
-- is found by its name (api_endpoint.c), and what completes an answer is a constant of the code.
CREATE TABLE commerce_private.api_calls (
	name       name PRIMARY KEY,
	roles      commerce_private.api_role[] NOT NULL,
	reads      boolean NOT NULL,
	keyed      boolean NOT NULL,
	result     text,
	completion text,
	location   text,
	arguments  text[] NOT NULL,
	sources    text[] NOT NULL,
	asked      boolean[] NOT NULL,
	required   boolean[] NOT NULL
);
COMMENT ON TABLE commerce_private.api_calls IS 'api_endpoints with api_arguments, one row for each function of commerce_api; constant, made by describe_api()';

-- PostgREST takes a result of this type as it is where a client accepts application/json, instead of making JSON of it.
CREATE DOMAIN commerce_api."application/json" AS json;
COMMENT ON DOMAIN commerce_api."application/json" IS 'what functions answer';

DO $$
DECLARE
	endpoint record;
BEGIN
	FOR endpoint IN
		SELECT e.name, e.reads, e.summary, e.roles,
			   (SELECT pg_catalog.string_agg(pg_catalog.format('%I text DEFAULT NULL', a.argument), ', ' ORDER BY a.position)
				FROM commerce_private.api_arguments a WHERE a.endpoint = e.name AND a.asked) AS named
		FROM commerce_private.api_endpoints e
	LOOP
		EXECUTE pg_catalog.format(
			-- VOLATILE, also those that read: of a HEAD the planner would leave a STABLE one out, and it would be 200
			'CREATE FUNCTION commerce_api.%I(%s) RETURNS commerce_api."application/json" LANGUAGE C VOLATILE SECURITY DEFINER '
			'SET search_path = pg_catalog, pg_temp SET timezone = ''UTC'' %s AS ''MODULE_PATHNAME'', ''commerce_api_call''',
			endpoint.name, CASE WHEN endpoint.reads THEN endpoint.named ELSE 'jsonb' END,
			-- PostgREST begins with what a function says, whatever the role says: these must see what they have waited for
			CASE WHEN endpoint.name IN ('erase_user', 'run_job') THEN 'SET default_transaction_isolation = ''read committed''' END);
		EXECUTE pg_catalog.format('COMMENT ON FUNCTION commerce_api.%I IS %L', endpoint.name,
			pg_catalog.format('%s (%s)', endpoint.summary,
							  CASE WHEN 'ANONYMOUS' = ANY (endpoint.roles) THEN 'everybody'
								   ELSE pg_catalog.lower(pg_catalog.array_to_string(endpoint.roles, ', ')) END));
	END LOOP;
END
$$;

-- sql/install/api/views.sql

-- REST: what can be read. Views run with the caller's rights, so the row security of the tables
-- decides which rows there are; they name each table's columns plainly, so that PostgREST finds
-- the foreign keys. What remains of stock and coupons comes from views of commerce that run with their owner's
-- rights: the journals behind are for nobody else.

-- What is looked up for a product. A barrier, and looked up by the id of a row that may be seen, so that no function
-- of somebody's own in a query's condition is shown another product's.
CREATE VIEW commerce_private.api_offers WITH (security_barrier = true) AS
	SELECT l.id, l.seller_name, l.discount_now, l.price_now, l.stock, l.status
	FROM commerce_private.product_offers l
	WHERE l.status <> 'DISCONTINUED' AND l.seller_active OR l.seller_id = (SELECT commerce_private.current_seller_id()) OR (SELECT commerce_private.current_admin());
COMMENT ON VIEW commerce_private.api_offers IS 'price, stock and status of the products that the caller may see';
COMMENT ON COLUMN commerce_private.api_offers.discount_now IS 'per unit: the larger of instant discount and running promotions';
COMMENT ON COLUMN commerce_private.api_offers.stock IS 'units that can be ordered';

CREATE VIEW commerce_api.products WITH (security_invoker = true) AS
	SELECT p.id, p.seller_id, l.seller_name, p.name, p.description, p.category, p.price, p.discount, l.discount_now,
		   l.price_now, p.shipping_fee, p.max_per_order, p.max_per_user, l.stock, l.status, p.sku, p.group_id, p.tax_exempt,
		   p.image_urls, CASE WHEN p.metadata IS NOT NULL
			   AND (p.seller_id = (SELECT commerce_private.current_seller_id()) OR (SELECT commerce_private.current_admin()))
			   THEN p.metadata END AS metadata, p.created_at::commerce_api.moment AS created_at, p.updated_at::commerce_api.moment AS updated_at
	FROM commerce.products p
	-- OFFSET 0 keeps it one look-up for each product
	JOIN LATERAL (SELECT o.seller_name, o.discount_now, o.price_now, o.stock, o.status
				  FROM commerce_private.api_offers o WHERE o.id = p.id OFFSET 0) l ON true
	WHERE p.status = 'ON_SALE';
COMMENT ON VIEW commerce_api.products IS 'the catalogue: products on sale or sold out; metadata is for their sellers and administrators';

CREATE VIEW commerce_api.categories WITH (security_invoker = true) AS
	SELECT p.category, count(*) AS products
	FROM commerce.products p
	LEFT JOIN commerce.sellers s ON s.id = p.seller_id
	WHERE p.status = 'ON_SALE' AND coalesce(s.active, true) AND p.category IS NOT NULL
	GROUP BY p.category;
COMMENT ON VIEW commerce_api.categories IS 'the categories of the catalogue, with how many products each has';
COMMENT ON COLUMN commerce_api.categories.products IS 'products on sale or sold out';

CREATE FUNCTION commerce_api.variants(commerce_api.products)
RETURNS SETOF commerce_api.products
LANGUAGE sql STABLE ROWS 10
BEGIN ATOMIC
	SELECT v.* FROM commerce_api.products v
	WHERE (v.group_id = coalesce($1.group_id, $1.id) OR v.id = $1.group_id) AND v.id <> $1.id;
END;
COMMENT ON FUNCTION commerce_api.variants(commerce_api.products) IS 'the other products of its group, such as other sizes, for embedding: products?id=eq.1&select=*,variants(*)';

CREATE VIEW commerce_api.my_products WITH (security_invoker = true) AS
	SELECT p.id, p.seller_id, l.seller_name, p.name, p.description, p.category, p.price, p.discount, l.discount_now,
		   l.price_now, p.shipping_fee, p.max_per_order, p.max_per_user, l.stock, l.status, p.sku, p.group_id, p.tax_exempt,
		   p.image_urls, p.metadata, p.created_at::commerce_api.moment AS created_at, p.updated_at::commerce_api.moment AS updated_at
	FROM commerce.products p
	-- OFFSET 0 keeps it one look-up for each product
	JOIN LATERAL (SELECT o.seller_name, o.discount_now, o.price_now, o.stock, o.status
				  FROM commerce_private.api_offers o WHERE o.id = p.id OFFSET 0) l ON true
	WHERE p.seller_id = (SELECT commerce_private.current_seller_id()) OR (SELECT commerce_private.current_admin());
COMMENT ON VIEW commerce_api.my_products IS 'a seller''s own products, discontinued ones too; for an administrator all';

CREATE VIEW commerce_api.promotions WITH (security_invoker = true) AS
	SELECT m.id, m.product_id, m.kind, m.value,
		   -- as commerce_private.reductions has it
		   p.price - least(p.price, greatest(p.discount, CASE m.kind WHEN 'FIXED' THEN m.value
															ELSE p.price / 100 * m.value + p.price % 100 * m.value / 100 END)) AS price,
		   m.starts_at::commerce_api.moment AS starts_at, m.ends_at::commerce_api.moment AS ends_at,
		   m.created_at::commerce_api.moment AS created_at, m.updated_at::commerce_api.moment AS updated_at
	FROM commerce.promotions m
	JOIN commerce.products p ON p.id = m.product_id;
COMMENT ON VIEW commerce_api.promotions IS 'the promotions that run, of products of the catalogue; for a seller all of its own products, for an administrator all';
COMMENT ON COLUMN commerce_api.promotions.price IS 'per unit, while it runs, where no larger one runs';

CREATE VIEW commerce_api.stock_entries WITH (security_invoker = true) AS
	SELECT e.product_id, e.delta, e.reason, e.order_item_id, e.actor_id, e.note, e.at::commerce_api.moment AS at FROM commerce.stock_entries e;
COMMENT ON VIEW commerce_api.stock_entries IS 'every unit of stock that came or went, of a seller''s own products; for an administrator all';

CREATE VIEW commerce_api.sellers WITH (security_invoker = true) AS
	SELECT s.id, s.user_id, s.business_name, s.registration_number, s.cs_phone, s.address, s.category,
		   s.active, s.shipping_fee, s.free_shipping_from,
		   CASE WHEN s.metadata IS NOT NULL
			   AND (s.id = (SELECT commerce_private.current_seller_id()) OR (SELECT commerce_private.current_admin()))
			   THEN s.metadata END AS metadata, s.created_at::commerce_api.moment AS created_at, s.updated_at::commerce_api.moment AS updated_at
	FROM commerce.sellers s;
COMMENT ON VIEW commerce_api.sellers IS 'the businesses that sell; metadata is for the seller itself and administrators';

CREATE VIEW commerce_api.popular_products WITH (security_invoker = true) AS
	SELECT p.rank, p.product_id, p.name, p.price, p.price_now, p.units_sold, p.as_of::commerce_api.moment AS as_of FROM commerce.popular_products() p;
COMMENT ON VIEW commerce_api.popular_products IS 'the five products of which most units were sold today and on the two days before';

CREATE FUNCTION commerce_api.product(commerce_api.popular_products)
RETURNS SETOF commerce_api.products
LANGUAGE sql STABLE ROWS 1
BEGIN ATOMIC
	SELECT p.* FROM commerce_api.products p WHERE p.id = $1.product_id;
END;
COMMENT ON FUNCTION commerce_api.product(commerce_api.popular_products) IS 'the product itself, for embedding: popular_products?select=*,product(*)';

CREATE VIEW commerce_api.coupons WITH (security_invoker = true) AS
	SELECT c.id, c.name, c.description, c.kind, c.value, c.max_discount, c.round_unit, c.min_order_amount, c.scope,
		   c.seller_id, c.product_id, c.quantity, l.remaining, c.issue_from::commerce_api.moment AS issue_from, c.issue_until::commerce_api.moment AS issue_until, c.valid_days,
		   c.valid_until::commerce_api.moment AS valid_until, c.stopped_at::commerce_api.moment AS stopped_at, c.max_units, c.claimable,
		   CASE WHEN c.metadata IS NOT NULL
			   AND (c.seller_id = (SELECT commerce_private.current_seller_id()) OR (SELECT commerce_private.current_admin()))
			   THEN c.metadata END AS metadata, l.status, c.created_at::commerce_api.moment AS created_at, c.updated_at::commerce_api.moment AS updated_at
	FROM commerce.coupons c
	JOIN commerce.coupon_list l ON l.id = c.id;
COMMENT ON VIEW commerce_api.coupons IS 'the coupons of the shop; those that are claimable, with status ACTIVE, can be claimed; metadata is for their sellers and administrators';

CREATE VIEW commerce_api.quota_entries WITH (security_invoker = true) AS
	SELECT e.coupon_id, e.delta, e.reason, e.actor_id, e.note, e.at::commerce_api.moment AS at FROM commerce.quota_entries e;
COMMENT ON VIEW commerce_api.quota_entries IS 'how the quantity of a seller''s own coupons came about and changed; for an administrator of all';

CREATE VIEW commerce_api.coupon_issues WITH (security_invoker = true) AS
	SELECT i.id, i.user_id, i.coupon_id, i.name, i.description, i.kind, i.value, i.max_discount, i.round_unit,
		   i.min_order_amount, i.max_units, i.scope, i.seller_id, i.product_id, i.status, i.issued_at::commerce_api.moment AS issued_at, i.expires_at::commerce_api.moment AS expires_at,
		   i.used_at::commerce_api.moment AS used_at, i.used_order_id
	FROM commerce.coupon_issues i;
COMMENT ON VIEW commerce_api.coupon_issues IS 'the caller''s coupons; for an administrator all';

CREATE VIEW commerce_api.users WITH (security_invoker = true) AS
	SELECT u.id, u.external_id, u.name, u.email, u.phone, u.balance, u.address, u.role, u.status, u.erased_at::commerce_api.moment AS erased_at, u.metadata,
		   u.created_at::commerce_api.moment AS created_at, u.updated_at::commerce_api.moment AS updated_at
	FROM commerce.users u;
COMMENT ON VIEW commerce_api.users IS 'the caller; for an administrator everybody';

CREATE VIEW commerce_api.balance_entries WITH (security_invoker = true) AS
	SELECT e.user_id, e.number, e.kind, e.amount, e.balance_after, e.order_id, e.payment_id, e.reference, e.at::commerce_api.moment AS at
	FROM commerce.balance_entries e;
COMMENT ON VIEW commerce_api.balance_entries IS 'what came into the caller''s balance and went out; for an administrator everybody''s';

CREATE VIEW commerce_api.orders WITH (security_invoker = true) AS
	SELECT o.id, o.user_id, o.status, o.payment_method, o.created_at::commerce_api.moment AS created_at, o.updated_at::commerce_api.moment AS updated_at, o.paid_at::commerce_api.moment AS paid_at, o.expires_at::commerce_api.moment AS expires_at,
		   o.items_total, o.item_discount_total, o.order_discount, o.shipping_discount, o.shipping_total,
		   o.payment_amount, o.tax_free_amount, o.refunded_amount,
		   o.recipient_name, o.recipient_phone, o.recipient_address, o.recipient_memo, o.metadata, o.imported
	FROM commerce.orders o;
COMMENT ON VIEW commerce_api.orders IS 'the caller''s orders; for an administrator all';

CREATE VIEW commerce_api.order_items WITH (security_invoker = true) AS
	SELECT i.id, i.order_id, i.seq, i.product_id, i.seller_id, i.product_name, i.status, i.quantity, i.unit_price,
		   i.unit_discount, i.unit_final, i.line_total, i.order_discount_share, i.shipping_fee, i.shipping_discount,
		   i.coupon_issue_id, i.split_from, i.delivered_at::commerce_api.moment AS delivered_at, i.line, i.tax_exempt, i.deduction,
		   -- not plainly: a second way from an item to a product would make order_items(products(*)) ambiguous
		   coalesce(i.replacement_product_id) AS replacement_product_id, i.shipment_id
	FROM commerce.order_items i;
COMMENT ON VIEW commerce_api.order_items IS 'what the caller ordered; for a seller what was ordered of it; for an administrator all';

-- Of somebody's order a seller sees where it goes and the seller's own lines. Whose the order is, and what the rest of
-- it is, are not there to be asked for: therefore a barrier, with its owner's rights.
CREATE VIEW commerce_private.api_seller_orders WITH (security_barrier = true) AS
	SELECT s.order_id AS id, o.created_at, o.recipient_name, o.recipient_phone, o.recipient_address, o.recipient_memo, s.to_send, s.asked,
		   (SELECT pg_catalog.jsonb_agg((pg_catalog.to_jsonb(i) - 'order_id' - commerce_private.api_internal())
			|| pg_catalog.jsonb_build_object('delivered_at', commerce_api.moment_to_json(i.delivered_at)) ORDER BY i.seq)
			-- in a view i.* is what there is when it is made: a column of somebody's own is not shown
			FROM (SELECT i.* FROM commerce.order_items i) i
			WHERE i.order_id = s.order_id AND i.seller_id = (SELECT commerce_private.current_seller_id())) AS items
	-- found in the index alone, the newest first; with OFFSET 0 only those are looked up that are asked for
	FROM (SELECT i.order_id, pg_catalog.bool_or(i.status IN ('PAID', 'PREPARING')) AS to_send,
				 pg_catalog.bool_or(i.status IN ('CANCEL_REQUESTED', 'CANCEL_PROCESSING', 'RETURN_REQUESTED', 'RETURN_PROCESSING',
												 'EXCHANGE_REQUESTED', 'EXCHANGE_PROCESSING')) AS asked
		  FROM commerce.order_items i
		  WHERE i.seller_id = (SELECT commerce_private.current_seller_id())
		  GROUP BY i.order_id ORDER BY i.order_id DESC) s
	CROSS JOIN LATERAL (SELECT o.created_at, o.recipient_name, o.recipient_phone, o.recipient_address, o.recipient_memo
						FROM commerce.orders o WHERE o.id = s.order_id OFFSET 0) o
	ORDER BY s.order_id DESC;
COMMENT ON VIEW commerce_private.api_seller_orders IS 'orders as the seller of some of their lines sees them';
COMMENT ON COLUMN commerce_private.api_seller_orders.to_send IS 'some of the seller''s lines are to be sent';
COMMENT ON COLUMN commerce_private.api_seller_orders.asked IS 'a cancellation, return or exchange of some of them was asked for, and is not done';
COMMENT ON COLUMN commerce_private.api_seller_orders.items IS 'the seller''s lines of the order';

CREATE VIEW commerce_api.seller_orders WITH (security_invoker = true) AS
	SELECT o.id, o.created_at::commerce_api.moment AS created_at, o.recipient_name, o.recipient_phone, o.recipient_address,
		   o.recipient_memo, o.to_send, o.asked, o.items
	FROM commerce_private.api_seller_orders o;
COMMENT ON VIEW commerce_api.seller_orders IS 'orders with lines of the seller: when, to whom, what there is to do, and the seller''s lines; nothing else of them';

CREATE VIEW commerce_api.order_item_events WITH (security_invoker = true) AS
	SELECT e.order_item_id, e.ordinal, e.from_status, e.event, e.quantity, e.restocked, e.at::commerce_api.moment AS at, e.actor,
		   -- who the buyer is, is not the seller's to know
		   CASE WHEN e.actor <> 'BUYER' OR (SELECT commerce_private.current_seller_id()) IS NULL THEN e.actor_id END AS actor_id,
		   e.note
	FROM commerce.order_item_events e;
COMMENT ON VIEW commerce_api.order_item_events IS 'the history of the order items that the caller can see';
COMMENT ON COLUMN commerce_api.order_item_events.actor_id IS 'user id of the buyer or admin, seller id of the seller; a buyer''s is not shown to sellers';

CREATE VIEW commerce_api.shipments WITH (security_invoker = true) AS
	SELECT s.id, s.order_id, s.seller_id, s.carrier, s.tracking_number, s.at::commerce_api.moment AS at FROM commerce.shipments s;
COMMENT ON VIEW commerce_api.shipments IS 'parcels of the caller''s orders; for a seller those it sent; for an administrator all';

CREATE VIEW commerce_api.order_coupons WITH (security_invoker = true) AS
	SELECT c.order_id, c.coupon_issue_id, c.discount, c.restored_at::commerce_api.moment AS restored_at FROM commerce.order_coupons c;
COMMENT ON VIEW commerce_api.order_coupons IS 'the coupons that the caller''s orders used; for an administrator all';

CREATE VIEW commerce_api.payments WITH (security_invoker = true) AS
	SELECT p.id, p.order_id, p.user_id, p.kind, p.channel, p.method, p.status, p.amount, p.tax_free_amount, p.expires_at::commerce_api.moment AS expires_at, p.refund_of,
		   p.charge_id, p.archived_order_id, p.provider_event_id, p.requested_at::commerce_api.moment AS requested_at, p.failed_at::commerce_api.moment AS failed_at,
		   p.at::commerce_api.moment AS at
	FROM commerce.payments p;
COMMENT ON VIEW commerce_api.payments IS 'the caller''s payments, refunds and charges; for an administrator all';

CREATE VIEW commerce_api.order_sheets WITH (security_invoker = true) AS
	SELECT s.id, s.user_id, s.coupon_issue_ids, s.items_total, s.item_discount_total, s.order_discount,
		   s.shipping_discount, s.shipping_total, s.payment_amount, s.created_at::commerce_api.moment AS created_at, s.expires_at::commerce_api.moment AS expires_at, s.consumed_order_id
	FROM commerce.order_sheets s;
COMMENT ON VIEW commerce_api.order_sheets IS 'the caller''s order sheets; for an administrator all';

CREATE VIEW commerce_api.order_sheet_items WITH (security_invoker = true) AS
	SELECT i.order_sheet_id, i.seq, i.line, i.product_id, i.seller_id, i.product_name, i.quantity, i.unit_price,
		   i.unit_discount, i.unit_final, i.line_total, i.order_discount_share, i.shipping_fee, i.shipping_discount,
		   i.coupon_issue_id
	FROM commerce.order_sheet_items i;
COMMENT ON VIEW commerce_api.order_sheet_items IS 'priced lines of the caller''s order sheets; for an administrator all';

CREATE VIEW commerce_api.job_status WITH (security_invoker = true) AS
	SELECT j.name, j.purpose, j.schedule, j.last_started_at::commerce_api.moment AS last_started_at, j.last_finished_at::commerce_api.moment AS last_finished_at, j.last_rows, j.backlog, j.failures,
		   j.last_error, j.last_error_at::commerce_api.moment AS last_error_at, j.state
	FROM commerce.job_status j
	WHERE (SELECT commerce_private.current_admin());
COMMENT ON VIEW commerce_api.job_status IS 'the periodic jobs, when each ran last, and its last error; for administrators';

CREATE VIEW commerce_api.order_item_transitions WITH (security_invoker = true) AS
	SELECT t.from_status, t.to_status, t.actor, t.whole_order FROM commerce.order_item_transitions t;
COMMENT ON VIEW commerce_api.order_item_transitions IS 'every step that an order item can take, and who may make it';

CREATE VIEW commerce_api.subscriptions WITH (security_invoker = true) AS
	SELECT s.name, s.state, s.paused_at::commerce_api.moment AS paused_at, s.pause_reason, s.sink, s.destination, s.event_types, s.cursor, s.lag_events,
		   s.lag_seconds, s.parked, s.dead_letters, s.attempts, s.delivered, s.failures, s.last_success_at::commerce_api.moment AS last_success_at,
		   s.last_error, s.last_error_at::commerce_api.moment AS last_error_at
	FROM commerce.subscription_status s
	WHERE (SELECT commerce_private.current_admin());
COMMENT ON VIEW commerce_api.subscriptions IS 'every subscription to events: how far it is behind, and how its deliveries go; for administrators';

CREATE VIEW commerce_api.dead_letters WITH (security_invoker = true) AS
	SELECT d.subscription, d.position, d.id, d.type, d.aggregatetype, d.aggregateid, d.payload, d.created_at::commerce_api.moment AS created_at, d.attempts,
		   d.last_error, d.died_at::commerce_api.moment AS died_at
	FROM commerce.dead_letters d
	WHERE (SELECT commerce_private.current_admin());
COMMENT ON VIEW commerce_api.dead_letters IS 'events that the relay has given up; for administrators';

CREATE VIEW commerce_api.outbox_segments WITH (security_invoker = true) AS
	SELECT s.segment, s.newest_event_at::commerce_api.moment AS newest_event_at, s.bytes, s.retained_until::commerce_api.moment AS retained_until, s.held_by
	FROM commerce.outbox_segments s
	WHERE (SELECT commerce_private.current_admin());
COMMENT ON VIEW commerce_api.outbox_segments IS 'the daily segments of the outbox that have events in them; for administrators';

CREATE VIEW commerce_api.conversion_by_hour WITH (security_invoker = true) AS
	SELECT c.hour::commerce_api.moment AS hour, c.sheets, c.matured, c.paid, c.percent
	FROM commerce.conversion_by_hour c
	WHERE (SELECT commerce_private.current_admin());
COMMENT ON VIEW commerce_api.conversion_by_hour IS 'order sheets by the hour in which they were made, and how many became paid orders; for administrators';

CREATE VIEW commerce_api.conversion_by_minute WITH (security_invoker = true) AS
	SELECT c.minute::commerce_api.moment AS minute, c.sheets, c.matured, c.paid, c.percent
	FROM commerce.conversion_by_minute c
	WHERE (SELECT commerce_private.current_admin());
COMMENT ON VIEW commerce_api.conversion_by_minute IS 'order sheets by the minute in which they were made, and how many became paid orders; for administrators';

-- Nobody writes a view. What cannot be written at all PostgreSQL would say before it looks at privileges, and
-- that of a view that cannot be updated is 500 to PostgREST; with a trigger privileges come first, 401 or 403.
CREATE FUNCTION commerce_private.api_refuse_write()
RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.raise_error('FORBIDDEN', '{"reason": "READ_ONLY"}');
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION commerce_private.api_refuse_write() IS 'trigger function of the views of commerce_api';

DO $$
DECLARE
	view regclass;
BEGIN
	FOR view IN SELECT v.oid FROM pg_catalog.pg_class v
				WHERE v.relnamespace = 'commerce_api'::regnamespace AND v.relkind = 'v' ORDER BY v.relname LOOP
		EXECUTE pg_catalog.format('CREATE TRIGGER commerce_refuse_write INSTEAD OF INSERT OR UPDATE OR DELETE ON %s '
								  'FOR EACH ROW EXECUTE FUNCTION commerce_private.api_refuse_write()', view);
	END LOOP;
END
$$;

-- Nor what calls are described by.
CREATE TRIGGER commerce_refuse_write BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON commerce_private.api_calls
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.api_refuse_write();

-- Whose the rows are. A relation that a view of commerce_api reads is here once for each role that may read
-- it; condition says which rows (NULL: all there are).
CREATE VIEW commerce_private.api_relations AS
WITH catalogue (relation) AS (VALUES ('coupon_list'), ('sellers'), ('coupons'), ('order_item_transitions')),
	shop (relation, buyer, seller) AS (VALUES
	('users', 'id = (SELECT commerce_private.current_user_id())', 'id = (SELECT commerce_private.current_user_id())'),
	('balance_entries', 'user_id = (SELECT commerce_private.current_user_id())', NULL),
	('coupon_issues', 'user_id = (SELECT commerce_private.current_user_id())', NULL),
	('orders', 'user_id = (SELECT commerce_private.current_user_id())', NULL),
	('order_items', 'order_id = ANY (ARRAY(SELECT o.id FROM commerce.orders o))',
					'seller_id = (SELECT commerce_private.current_seller_id())'),
	('order_item_events', 'order_item_id = ANY (ARRAY(SELECT i.id FROM commerce.order_items i))',
						  'EXISTS (SELECT FROM commerce.order_items i WHERE i.id = order_item_id)'),
	('shipments', 'order_id = ANY (ARRAY(SELECT o.id FROM commerce.orders o))', 'seller_id = (SELECT commerce_private.current_seller_id())'),
	('order_coupons', 'order_id = ANY (ARRAY(SELECT o.id FROM commerce.orders o))', NULL),
	('payments', 'order_id = ANY (ARRAY(SELECT o.id FROM commerce.orders o)) OR order_id IS NULL AND user_id = (SELECT commerce_private.current_user_id())', NULL),
	('order_sheets', 'user_id = (SELECT commerce_private.current_user_id())', NULL),
	('order_sheet_items', 'order_sheet_id = ANY (ARRAY(SELECT s.id FROM commerce.order_sheets s))', NULL),
	('promotions', 'starts_at <= pg_catalog.statement_timestamp() AND ends_at > pg_catalog.statement_timestamp() AND EXISTS ('
				   'SELECT FROM commerce.products p LEFT JOIN commerce.sellers s ON s.id = p.seller_id WHERE p.id = product_id AND coalesce(s.active, true))',
				   'EXISTS (SELECT FROM commerce.products p WHERE p.id = product_id AND p.seller_id = (SELECT commerce_private.current_seller_id()))'),
	('stock_entries', NULL, 'EXISTS (SELECT FROM commerce.products p WHERE p.id = product_id AND p.seller_id = (SELECT commerce_private.current_seller_id()))'),
	('quota_entries', NULL, 'EXISTS (SELECT FROM commerce.coupons c WHERE c.id = coupon_id AND c.seller_id = (SELECT commerce_private.current_seller_id()))'))
SELECT c.relation, r.api_role, NULL AS condition FROM catalogue c
CROSS JOIN pg_catalog.unnest(pg_catalog.enum_range(NULL::commerce_private.api_role)) AS r (api_role)
UNION ALL SELECT s.relation, 'BUYER', s.buyer FROM shop s WHERE s.buyer IS NOT NULL
UNION ALL SELECT s.relation, 'ANONYMOUS', s.buyer FROM shop s WHERE s.relation = 'promotions'
UNION ALL SELECT s.relation, 'SELLER', s.seller FROM shop s WHERE s.seller IS NOT NULL
UNION ALL SELECT s.relation, 'ADMIN', '(SELECT commerce_private.current_admin())' FROM shop s
UNION ALL SELECT v.relation, 'ADMIN', NULL FROM (VALUES ('job_status'), ('subscription_status'), ('outbox_segments'), ('dead_letters'), ('conversion_by_hour'), ('conversion_by_minute')) AS v (relation)
UNION ALL VALUES
	('products', 'ANONYMOUS'::commerce_private.api_role, 'status = ''ON_SALE'''),
	('products', 'BUYER', 'status = ''ON_SALE'''),
	('products', 'SELLER', 'status = ''ON_SALE'' OR seller_id = (SELECT commerce_private.current_seller_id())'),
	('products', 'ADMIN', 'status = ''ON_SALE'' OR (SELECT commerce_private.current_admin())');
COMMENT ON VIEW commerce_private.api_relations IS 'which rows of the tables and views of schema commerce a role can read over REST; constants';
COMMENT ON COLUMN commerce_private.api_relations.condition IS 'becomes a row security policy; NULL: all rows';

-- Row security. Everybody else is left as granted. A role of grant_api() sees no row until it has its own policy:
-- a dump has grants in it, but not policies on an extension's tables, and a restored database must not show more
-- than it did. Such a role is known by what it alone is granted, the functions of commerce_api, for which one
-- stands here; what a superuser may do everywhere, and pg_read_all_data in every schema, makes nobody one.
DO $$
DECLARE
	guarded text;
BEGIN
	FOR guarded IN SELECT DISTINCT a.relation FROM commerce_private.api_relations a WHERE a.condition IS NOT NULL ORDER BY 1 LOOP
		EXECUTE pg_catalog.format('ALTER TABLE commerce.%I ENABLE ROW LEVEL SECURITY', guarded);
		EXECUTE pg_catalog.format('CREATE POLICY commerce_as_granted ON commerce.%I USING (true) WITH CHECK (true)', guarded);
		EXECUTE pg_catalog.format($policy$
			CREATE POLICY commerce_guard ON commerce.%I AS RESTRICTIVE USING ((SELECT
				NOT pg_catalog.has_function_privilege('commerce_api.get_order(text)'::regprocedure, 'EXECUTE')
				OR EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = CURRENT_USER AND r.rolsuper)
				OR EXISTS (SELECT FROM pg_catalog.pg_policy p CROSS JOIN pg_catalog.unnest(p.polroles) AS r (role)
						   WHERE p.polrelid = %L::regclass AND NOT p.polpermissive AND r.role <> 0
							 AND pg_catalog.pg_has_role(r.role, 'USAGE'))))$policy$,
			guarded, 'commerce.' || guarded);
	END LOOP;
END
$$;

-- A view is for a role when each relation that it reads is; one is empty for the others.
CREATE VIEW commerce_private.api_views AS
	SELECT v.oid::regclass AS view, v.relname AS name, r.api_role
	FROM pg_catalog.pg_class v
	CROSS JOIN pg_catalog.unnest(pg_catalog.enum_range(NULL::commerce_private.api_role)) AS r (api_role)
	WHERE v.relnamespace = 'commerce_api'::regnamespace AND v.relkind = 'v'
	  AND (v.relname <> 'my_products' OR r.api_role IN ('SELLER', 'ADMIN'))
	  AND (v.relname <> 'seller_orders' OR r.api_role = 'SELLER')
	  AND NOT EXISTS (
		SELECT FROM pg_catalog.pg_rewrite w
		JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
			AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> v.oid
		JOIN pg_catalog.pg_class b ON b.oid = d.refobjid AND b.relnamespace = 'commerce'::regnamespace
		WHERE w.ev_class = v.oid
		  AND NOT EXISTS (SELECT FROM commerce_private.api_relations a WHERE a.relation = b.relname AND a.api_role = r.api_role));
COMMENT ON VIEW commerce_private.api_views IS 'which views of commerce_api are for which role';

-- sql/install/api/grants.sql

-- REST: letting database roles in. The extension creates none; the DBA names them.
-- Each gets a policy of its own on each table, so that the planner sees one plain condition.

-- By the role's oid: two names of roles can be alike as far as a policy's name goes.
CREATE FUNCTION commerce_private.api_policy(role name)
RETURNS name
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'commerce_api_' || r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = api_policy.role
$$;
COMMENT ON FUNCTION commerce_private.api_policy(name) IS 'what the policies of a role of grant_api() are called; NULL: there is no such role';

CREATE FUNCTION commerce.grant_api(anon name, buyer name, seller name, admin name, authenticator name DEFAULT 'authenticator')
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	everybody name[] := ARRAY[grant_api.anon, grant_api.buyer, grant_api.seller, grant_api.admin];
	missing name;
	granted record;
BEGIN
	SELECT a.name INTO missing
	FROM (VALUES ('anon', grant_api.anon), ('buyer', grant_api.buyer), ('seller', grant_api.seller), ('admin', grant_api.admin),
				 ('authenticator', grant_api.authenticator)) a (name, role)
	WHERE a.role IS NULL LIMIT 1;
	IF FOUND THEN
		PERFORM commerce_private.raise_invalid(missing, 'must not be null');
	END IF;
	SELECT r.name INTO missing
	FROM pg_catalog.unnest(everybody || grant_api.authenticator) AS r (name)
	WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles p WHERE p.rolname = r.name);
	IF FOUND THEN
		PERFORM commerce_private.raise_error('ENTITY_NOT_FOUND', pg_catalog.jsonb_build_object('entity', 'role', 'id', missing), 'Create the database roles first: anonymous, buyer, seller and admin without LOGIN, and the one that PostgREST connects as.');
	END IF;
	IF (SELECT count(DISTINCT r.name) FROM pg_catalog.unnest(everybody || grant_api.authenticator) AS r (name)) < 5 THEN
		PERFORM commerce_private.raise_invalid('roles', 'must be five different ones');
	END IF;
	IF commerce_private.setting('commerce.direct_charge')::boolean THEN
		RAISE NOTICE 'commerce.direct_charge is on: over REST a buyer''s charge adds to the balance at once, and nobody has paid it'
			USING HINT = 'Turn it off where payment providers take the money.';
	END IF;
	PERFORM commerce.revoke_api(r.role) FROM commerce_private.api_roles r WHERE r.role = ANY (everybody);
	PERFORM commerce_private.close_row_types();
	INSERT INTO commerce_private.api_roles (role, api_role)
	VALUES (grant_api.anon, 'ANONYMOUS'), (grant_api.buyer, 'BUYER'), (grant_api.seller, 'SELLER'), (grant_api.admin, 'ADMIN');

	-- PostgREST uses the casts that its own role may
	EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION commerce_api.moment_to_json(commerce_api.moment), '
		'commerce_api.moment_from_text(text) TO %I', grant_api.authenticator);
	FOR granted IN SELECT r.role, r.api_role FROM commerce_private.api_roles r WHERE r.role = ANY (everybody) LOOP
		IF NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members m
					   WHERE m.roleid = pg_catalog.quote_ident(granted.role)::regrole AND m.member = pg_catalog.quote_ident(grant_api.authenticator)::regrole) THEN
			EXECUTE pg_catalog.format('GRANT %I TO %I', granted.role, grant_api.authenticator);
		END IF;
		EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA commerce_api TO %I', granted.role);
		-- all of them: each says itself whom it serves, and so with the right error
		EXECUTE pg_catalog.format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA commerce_api TO %I', granted.role);
		-- functions in policies and views are called with the caller's rights
		EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION commerce_private.current_user_id(), commerce_private.current_seller_id(), '
			'commerce_private.current_admin() TO %I', granted.role);
		EXECUTE (SELECT pg_catalog.string_agg(DISTINCT pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %I', f.function, granted.role), '; ')
				 FROM commerce_private.view_functions(ARRAY(
						SELECT v.view FROM commerce_private.api_views v WHERE v.api_role = granted.api_role
						UNION ALL
						SELECT pg_catalog.format('commerce.%I', a.relation)::regclass
						FROM commerce_private.api_relations a WHERE a.api_role = granted.api_role
						UNION ALL
						SELECT 'commerce_private.api_offers'::regclass
						UNION ALL
						SELECT 'commerce_private.api_seller_orders'::regclass)) AS f (function));
		EXECUTE pg_catalog.format('GRANT SELECT ON commerce_private.api_offers TO %I', granted.role);
		IF granted.api_role = 'SELLER' THEN
			EXECUTE pg_catalog.format('GRANT SELECT ON commerce_private.api_seller_orders TO %I', granted.role);
		END IF;
		EXECUTE (SELECT pg_catalog.string_agg(pg_catalog.format('GRANT SELECT ON %s TO %I', v.view, granted.role), '; ')
				 FROM commerce_private.api_views v WHERE v.api_role = granted.api_role);
		EXECUTE (SELECT pg_catalog.string_agg(pg_catalog.format('GRANT SELECT ON commerce.%I TO %I', a.relation, granted.role), '; ')
				 FROM commerce_private.api_relations a WHERE a.api_role = granted.api_role);
	END LOOP;

	FOR granted IN
		SELECT a.relation, a.condition, r.role
		FROM commerce_private.api_relations a JOIN commerce_private.api_roles r ON r.api_role = a.api_role
		WHERE a.condition IS NOT NULL AND r.role = ANY (everybody)
	LOOP
		EXECUTE pg_catalog.format('CREATE POLICY %I ON commerce.%I AS RESTRICTIVE TO %I USING (%s)',
			commerce_private.api_policy(granted.role), granted.relation, granted.role, granted.condition);
	END LOOP;
	NOTIFY pgrst, 'reload schema';
END
$$;
COMMENT ON FUNCTION commerce.grant_api(name, name, name, name, name) IS
	'lets database roles in over REST: anonymous visitors, buyers, sellers, administrators, and the role that PostgREST connects as and becomes one of them by; can be repeated, and with other roles, and is to be repeated after a dump was restored: until then these roles see no rows. For a superuser. Errors: ENTITY_NOT_FOUND, INVALID_REQUEST';

CREATE FUNCTION commerce.revoke_api(role name)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own_policy name := commerce_private.api_policy(revoke_api.role);
	policy record;
	connecting name;
BEGIN
	IF revoke_api.role IS NULL THEN
		PERFORM commerce_private.raise_invalid('role', 'must not be null');
	END IF;
	DELETE FROM commerce_private.api_roles r WHERE r.role = revoke_api.role;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('role', revoke_api.role);
	END IF;
	-- a role that was dropped since has nothing left
	IF own_policy IS NOT NULL THEN
		EXECUTE pg_catalog.format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA commerce, commerce_private, commerce_api FROM %I', revoke_api.role);
		EXECUTE pg_catalog.format('REVOKE ALL ON ALL TABLES IN SCHEMA commerce, commerce_private, commerce_api FROM %I', revoke_api.role);
		EXECUTE pg_catalog.format('REVOKE ALL ON SCHEMA commerce_api FROM %I', revoke_api.role);
		FOR policy IN
			SELECT p.polrelid::regclass AS relation FROM pg_catalog.pg_policy p WHERE p.polname = own_policy
		LOOP
			EXECUTE pg_catalog.format('DROP POLICY %I ON %s', own_policy, policy.relation);
		END LOOP;
	END IF;
	-- with the last role goes what PostgREST's own was granted
	IF NOT EXISTS (SELECT FROM commerce_private.api_roles) THEN
		FOR connecting IN
			SELECT DISTINCT r.rolname FROM pg_catalog.pg_proc p CROSS JOIN pg_catalog.aclexplode(p.proacl) a
			JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
			WHERE p.pronamespace = 'commerce_api'::regnamespace AND a.grantee <> p.proowner
		LOOP
			EXECUTE pg_catalog.format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA commerce_api FROM %I', connecting);
		END LOOP;
	END IF;
	NOTIFY pgrst, 'reload schema';
END
$$;
COMMENT ON FUNCTION commerce.revoke_api(name) IS
	'takes back from one role what grant_api() granted, except its membership in PostgREST''s role. Errors: ENTITY_NOT_FOUND';

-- sql/install/api/openapi.sql

-- REST: the OpenAPI 3.1 document. It is made of what is there: views and their columns, the endpoints and
-- the signatures behind them, the enums, the table of errors and the "Errors:" in the functions' comments.

CREATE FUNCTION commerce_private.api_schema_of(type regtype, nullable boolean)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN t.typtype = 'e' AND nullable THEN
			pg_catalog.jsonb_build_object('anyOf', pg_catalog.jsonb_build_array(
				pg_catalog.jsonb_build_object('$ref', '#/components/schemas/' || t.typname), '{"type": "null"}'::jsonb))
		WHEN t.typtype = 'e' THEN pg_catalog.jsonb_build_object('$ref', '#/components/schemas/' || t.typname)
		WHEN t.typtype = 'd' THEN commerce_private.api_schema_of(t.typbasetype::regtype, nullable)
		WHEN t.typelem <> 0 AND t.typcategory = 'A' THEN
			pg_catalog.jsonb_build_object('type', b.type, 'items', commerce_private.api_schema_of(t.typelem::regtype, false))
		WHEN api_schema_of.type = 'jsonb'::regtype THEN '{}'
		ELSE pg_catalog.jsonb_build_object('type', b.type) || coalesce(f.format, '{}') END
	FROM pg_catalog.pg_type t
	CROSS JOIN LATERAL (
		SELECT CASE WHEN t.typcategory = 'A' THEN 'array'
					WHEN t.oid IN ('bigint'::regtype, 'int'::regtype, 'smallint'::regtype) THEN 'integer'
					WHEN t.typcategory = 'N' THEN 'number'
					WHEN t.typcategory = 'B' THEN 'boolean'
					ELSE 'string' END AS name) n
	CROSS JOIN LATERAL (
		SELECT CASE WHEN nullable THEN pg_catalog.jsonb_build_array(n.name, 'null') ELSE pg_catalog.to_jsonb(n.name) END AS type) b
	LEFT JOIN (VALUES
		('bigint'::regtype, '{"format": "int64"}'::jsonb), ('int', '{"format": "int32"}'), ('uuid', '{"format": "uuid"}'),
		('timestamptz', '{"format": "date-time"}'), ('date', '{"format": "date"}')) f (type, format) ON f.type = api_schema_of.type
	WHERE t.oid = api_schema_of.type
$$;
COMMENT ON FUNCTION commerce_private.api_schema_of(regtype, boolean) IS 'JSON schema of a type''s values in JSON';

-- Names tell more than types do: amounts look like amounts.
CREATE FUNCTION commerce_private.api_example(schema jsonb, name text, schemas jsonb)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN schema ? '$ref' THEN commerce_private.api_example(schemas -> pg_catalog.regexp_replace(schema ->> '$ref', '^.*/', ''), name, schemas)
		WHEN schema ? 'anyOf' THEN commerce_private.api_example(schema -> 'anyOf' -> 0, name, schemas)
		WHEN schema ? 'const' THEN schema -> 'const'
		-- an order, and what is in it, after the usual payment
		WHEN schema -> 'enum' ? 'PAID' THEN '"PAID"'
		WHEN schema ? 'enum' THEN schema -> 'enum' -> 0
		ELSE CASE coalesce(schema -> 'type' ->> 0, schema ->> 'type')
			WHEN 'object' THEN (SELECT coalesce(pg_catalog.jsonb_object_agg(p.key, commerce_private.api_example(p.value, p.key, schemas)), '{}')
								FROM pg_catalog.jsonb_each(schema -> 'properties') p WHERE coalesce(schema -> 'required' ? p.key, true))
			WHEN 'array' THEN (SELECT pg_catalog.jsonb_agg(commerce_private.api_example(schema -> 'items', name, schemas))
							   FROM pg_catalog.generate_series(1, coalesce((schema -> 'minItems')::int, 1)))
			WHEN 'null' THEN 'null'
			WHEN 'boolean' THEN 'true'
			WHEN 'integer' THEN (CASE
				WHEN name IN ('price', 'price_now', 'unit_price', 'unit_final', 'line_total', 'items_total', 'payment_amount', 'amount', 'balance', 'balance_after') THEN '12000'
				WHEN name ~ 'discount|refunded|failures|dead|lag' THEN '0'
				ELSE '1' END)::jsonb
			WHEN 'number' THEN (CASE WHEN name ~ 'lag' THEN '0' ELSE '1' END)::jsonb
			WHEN 'string' THEN (CASE
				WHEN schema ->> 'format' = 'date-time' THEN '"2026-12-01T00:00:00+00:00"'
				WHEN schema ->> 'format' = 'date' THEN '"2026-12-01"'
				WHEN schema ->> 'format' = 'uuid' THEN '"7d3c6f3e-6b0a-4d0e-9d3a-0d5b1a2c3d4e"'
				WHEN name = 'email' THEN '"kim@example.com"'
				WHEN name ~ 'name$' THEN '"Mug"'
				WHEN name IN ('position', 'cursor') THEN '"00000001-0000000000000300-0000000000000001"'
				ELSE '"text"' END)::jsonb
			ELSE '{}' END
		END
$$;
COMMENT ON FUNCTION commerce_private.api_example(jsonb, text, jsonb) IS 'an example of what a JSON schema describes; schemas: those that it may refer to';

CREATE FUNCTION commerce_private.api_object(properties jsonb)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_build_object('type', 'object', 'properties', properties,
		'required', (SELECT pg_catalog.jsonb_agg(k.key ORDER BY k.key) FROM pg_catalog.jsonb_object_keys(properties) AS k (key)))
$$;
COMMENT ON FUNCTION commerce_private.api_object(jsonb) IS 'JSON schema of an object that has all these properties';

CREATE FUNCTION commerce_private.api_array(items jsonb)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_build_object('type', 'array', 'items', items)
$$;
COMMENT ON FUNCTION commerce_private.api_array(jsonb) IS 'JSON schema of an array';

-- The columns of a table, a view of commerce_api or a function's result. A view's column is described, and
-- known not to be null, by the column of the same name that it shows.
CREATE FUNCTION commerce_private.api_columns(relation oid)
RETURNS TABLE (name text, type regtype, nullable boolean, description text, ordinal int)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT a.attname, a.atttypid::regtype,
		   -- what is computed of a price, too
		   NOT (coalesce(b.attnotnull, a.attnotnull) OR (a.attname IN ('price_now', 'discount_now') AND c.relname <> 'popular_products')),
		   coalesce(pg_catalog.col_description(a.attrelid, a.attnum), b.description, s.description), a.attnum::int
	FROM pg_catalog.pg_attribute a
	JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
	LEFT JOIN LATERAL (
		SELECT o.attnotnull, pg_catalog.col_description(o.attrelid, o.attnum) AS description
		FROM pg_catalog.pg_attribute o JOIN pg_catalog.pg_class t ON t.oid = o.attrelid
		WHERE t.relname = CASE WHEN c.relname = 'my_products' THEN 'products'
							   WHEN c.relname = 'seller_orders' THEN 'orders' ELSE c.relname END
		  AND t.relnamespace = 'commerce'::regnamespace AND t.relkind IN ('r', 'p')
		  AND o.attname = a.attname AND NOT o.attisdropped AND o.attnum > 0) b ON true
	LEFT JOIN LATERAL (
		SELECT pg_catalog.col_description(d.refobjid, d.refobjsubid) AS description
		FROM pg_catalog.pg_rewrite w
		JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
			AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
		JOIN pg_catalog.pg_attribute o ON o.attrelid = d.refobjid AND o.attnum = d.refobjsubid
		WHERE w.ev_class = c.oid AND o.attname = a.attname
		  AND pg_catalog.col_description(d.refobjid, d.refobjsubid) IS NOT NULL
		LIMIT 1) s ON true
	WHERE a.attrelid = api_columns.relation AND a.attnum > 0 AND NOT a.attisdropped
	  AND a.attname <> ALL (commerce_private.api_internal())
$$;
COMMENT ON FUNCTION commerce_private.api_columns(oid) IS 'columns as REST shows them';

CREATE FUNCTION commerce_private.api_row_properties(relation regclass, chosen text[] DEFAULT NULL)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_object_agg(c.name, commerce_private.api_schema_of(c.type, c.nullable) || pg_catalog.jsonb_build_object('x-order', c.ordinal)
			|| CASE WHEN c.description IS NULL THEN '{}' ELSE pg_catalog.jsonb_build_object('description', c.description) END)
	FROM commerce_private.api_columns(api_row_properties.relation) c
	WHERE chosen IS NULL OR c.name = ANY (chosen)
$$;
COMMENT ON FUNCTION commerce_private.api_row_properties(regclass, text[]) IS 'JSON schemas of the columns of a row, or of those chosen';

CREATE FUNCTION commerce_private.api_result_properties(function regproc)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	-- refunds that no item accounts for are of no product
	SELECT pg_catalog.jsonb_object_agg(a.name, commerce_private.api_schema_of(a.type::regtype, f.proname = 'sales_report' AND a.name = 'product_id')
			|| pg_catalog.jsonb_build_object('x-order', a.ordinal))
	FROM pg_catalog.pg_proc f
	CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(f.proargnames), pg_catalog.unnest(f.proallargtypes), pg_catalog.unnest(f.proargmodes)) WITH ORDINALITY AS a (name, type, mode, ordinal)
	WHERE f.oid = api_result_properties.function AND a.mode <> 'i'
$$;
COMMENT ON FUNCTION commerce_private.api_result_properties(regproc) IS 'JSON schemas of the columns that a function returns';

-- What the rows of a view can embed: over a foreign key of the table that the view shows, or by a function of the
-- row. Relations of a table to itself, and those by way of a third one, have to be spelled out, and are not here.
CREATE FUNCTION commerce_private.api_embedded_properties(view oid)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH shown AS (
		SELECT v.oid AS view, v.relname, t.oid AS shows
		FROM pg_catalog.pg_class v
		JOIN pg_catalog.pg_class t ON t.relnamespace = 'commerce'::regnamespace AND t.relkind IN ('r', 'p')
			AND t.relname = CASE v.relname WHEN 'my_products' THEN 'products' ELSE v.relname END
		WHERE v.relnamespace = 'commerce_api'::regnamespace AND v.relkind = 'v'
		  AND EXISTS (SELECT FROM pg_catalog.pg_rewrite w
					  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
					  WHERE w.ev_class = v.oid AND d.refobjid = t.oid)),
	related AS (
		SELECT referring.view AS referring, referring.relname AS referring_name, referred.view AS referred, referred.relname AS referred_name,
			   NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = k.conrelid AND i.indisunique AND i.indpred IS NULL
							 AND pg_catalog.string_to_array(i.indkey::text, ' ')::smallint[] <@ k.conkey) AS many
		FROM pg_catalog.pg_constraint k
		JOIN shown referring ON referring.shows = k.conrelid
		JOIN shown referred ON referred.shows = k.confrelid
		WHERE k.contype = 'f' AND k.conrelid <> k.confrelid AND k.conparentid = 0
		  -- which the view hides
		  AND k.conname <> 'order_items_replacement_product_id_fkey'
		  -- PostgREST also sees the way by a table that joins the two
		  AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint one
						  JOIN pg_catalog.pg_constraint other ON other.conrelid = one.conrelid AND other.contype = 'f' AND other.confrelid = k.confrelid
						  JOIN pg_catalog.pg_constraint p ON p.conrelid = one.conrelid AND p.contype = 'p' AND one.conkey || other.conkey <@ p.conkey
						  WHERE one.contype = 'f' AND one.confrelid = k.conrelid)
		  AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
						  WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
							AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute b WHERE b.attrelid = referring.view AND b.attname = a.attname))),
	embedded (name, target, many) AS (
		SELECT r.referred_name, r.referred_name, false FROM related r WHERE r.referring = api_embedded_properties.view
		UNION ALL
		SELECT r.referring_name, r.referring_name, r.many FROM related r WHERE r.referred = api_embedded_properties.view
		UNION ALL
		SELECT f.proname, c.relname, f.prorows > 1
		FROM pg_catalog.pg_proc f
		JOIN pg_catalog.pg_class c ON c.reltype = f.prorettype AND c.relkind = 'v'
		WHERE f.pronamespace = 'commerce_api'::regnamespace
		  AND f.proargtypes[0] = (SELECT v.reltype FROM pg_catalog.pg_class v WHERE v.oid = api_embedded_properties.view))
	SELECT coalesce(pg_catalog.jsonb_object_agg(o.name, CASE WHEN o.many THEN commerce_private.api_array(o.target)
			ELSE pg_catalog.jsonb_build_object('anyOf', pg_catalog.jsonb_build_array(o.target, '{"type": "null"}'::jsonb)) END
			|| pg_catalog.jsonb_build_object('x-order', 1000 + o.ordinal, 'description', pg_catalog.format('there with `select=*,%s(*)`', o.name))), '{}')
	FROM (SELECT e.name, pg_catalog.jsonb_build_object('$ref', '#/components/schemas/' || min(e.target)) AS target, pg_catalog.bool_or(e.many) AS many,
				 pg_catalog.row_number() OVER (ORDER BY e.name) AS ordinal
		  FROM embedded e GROUP BY e.name HAVING count(*) = 1) o
$$;
COMMENT ON FUNCTION commerce_private.api_embedded_properties(oid) IS 'JSON schemas of the rows that a row of a view can embed';

CREATE FUNCTION commerce_private.api_singular(relation name)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.regexp_replace(pg_catalog.regexp_replace(relation, 'ies$', 'ys'), 's$', '')
$$;
COMMENT ON FUNCTION commerce_private.api_singular(name) IS 'what one row of a table is called';

CREATE FUNCTION commerce_private.status_schema()
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT commerce_private.api_object(pg_catalog.jsonb_build_object(
		'as_of', n.moment,
		'version', n.string,
		'timezone', n.string,
		'currency', commerce_private.api_object(commerce_private.api_result_properties('commerce_private.shop_currency')),
		'problems', '{"description": "what is not as it should be: code and bad say what and how urgently; the rest is null where it says nothing"}'
			|| commerce_private.api_array(commerce_private.api_object(pg_catalog.jsonb_build_object('code', n.string, 'bad', '{"type": "boolean"}'::jsonb,
				'subject', n.string || n.nullable, 'count', n.number || '{"type": ["integer", "null"]}', 'since', n.moment || n.nullable, 'detail', n.string || n.nullable))),
		'waiting', '{"description": "what waits for somebody, counted up to 10000, and since when the oldest"}'
			|| commerce_private.api_array(commerce_private.api_object(pg_catalog.jsonb_build_object('kind', n.string, 'count', n.number, 'oldest', n.moment || n.nullable))),
		'orders', '{"description": "since the moment said: for 60 minutes by the clock, but at most of the last 200000 orders. revenue: less what was refunded"}'
			|| commerce_private.api_object(pg_catalog.jsonb_build_object('since', n.moment, 'placed', n.number, 'paid', n.number, 'revenue', n.number, 'refunded', n.number,
				'per_minute', commerce_private.api_array(n.number || '{"type": ["integer", "null"]}')
					|| '{"minItems": 60, "maxItems": 60, "description": "placed in each minute by the clock, the latest last, which is not over; null before since"}')),
		'units_per_day', commerce_private.api_array(commerce_private.api_object(pg_catalog.jsonb_build_object('day', commerce_private.api_schema_of('date', false), 'units', n.number)))
			|| '{"minItems": 14, "maxItems": 14, "description": "sold, less cancelled; today last"}',
		'popular_products', commerce_private.api_array(commerce_private.api_object(commerce_private.api_result_properties('commerce.popular_products'))),
		'running_out', '{"description": "best sellers whose stock is gone within three days if they sell on as they did"}'
			|| commerce_private.api_array(commerce_private.api_object(pg_catalog.jsonb_build_object('product_id', n.number, 'name', n.string, 'seller_name', n.string || n.nullable,
				'stock', n.number, 'units_sold', n.number, 'lasts_days', '{"type": "number"}'::jsonb))),
		'sheets', commerce_private.api_object(pg_catalog.jsonb_build_object('last_hour', n.number, 'ordered', n.number)),
		'jobs', commerce_private.api_array(commerce_private.api_object(commerce_private.api_row_properties('commerce.job_status',
			'{name,state,schedule,last_finished_at,last_rows,backlog,failures,last_error,last_error_at}'))),
		'worker', n.string || n.nullable || '{"description": "state of the maintenance worker here; null: there is none"}',
		'subscriptions', commerce_private.api_array(commerce_private.api_object(commerce_private.api_row_properties('commerce.subscription_status',
			'{name,state,destination,lag_events,lag_seconds,parked,dead_letters,paused_at,pause_reason,last_success_at,last_error,last_error_at}'))),
		'horizon', pg_catalog.jsonb_build_object('description', 'what holds delivery and folding back most', 'anyOf', pg_catalog.jsonb_build_array(
			commerce_private.api_object(commerce_private.api_row_properties('commerce.horizon', '{kind,database,holder,since,age}')), '{"type": "null"}'::jsonb)),
		'escrow', commerce_private.api_object(pg_catalog.jsonb_build_object('counters', n.number, 'in_flight', n.number, 'waiters', n.number))))
	FROM (SELECT commerce_private.api_schema_of('bigint', false) AS number, commerce_private.api_schema_of('text', false) AS string,
				 commerce_private.api_schema_of('timestamptz', false) AS moment, '{"type": ["string", "null"]}'::jsonb AS nullable) n
$$;
COMMENT ON FUNCTION commerce_private.status_schema() IS 'JSON schema of what shop_status answers';

-- Plurals are rows of views, as they are when select does not choose; singulars are what functions answer.
CREATE FUNCTION commerce_private.api_schemas()
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_build_object(
		'error', '{"type": "object", "required": ["code", "message", "details", "hint"], "properties": {
			"code": {"type": "string", "description": "of the table of errors; SQLSTATEs and PGRSTnnn are PostgREST''s own"},
			"message": {"type": "string"},
			"details": {"type": ["string", "null"], "description": "the things concerned and their ids"},
			"hint": {"type": ["string", "null"]}}}'::jsonb,
		'ambiguity', '{"type": "object", "required": ["code", "message", "details", "hint"], "properties": {
			"code": {"type": "string", "const": "PGRST201"},
			"message": {"type": "string"},
			"details": {"type": "array", "description": "the relationships there are", "items": {"type": "object", "required": ["cardinality", "embedding", "relationship"], "properties": {
				"cardinality": {"type": "string"}, "embedding": {"type": "string"}, "relationship": {"type": "string"}}}},
			"hint": {"type": "string", "description": "how to name each of them in select"}}}'::jsonb,
		'lines', '{"type": "array", "minItems": 1, "maxItems": 1000, "items": {"type": "object", "additionalProperties": false,
			"required": ["product_id", "quantity"], "properties": {
			"product_id": {"type": "integer", "format": "int64", "minimum": 1},
			"quantity": {"type": "integer", "format": "int64", "minimum": 1},
			"coupon_issue_id": {"type": ["integer", "null"], "format": "int64", "minimum": 1, "description": "a coupon of the caller for that product"}}}}'::jsonb,
		'product', commerce_private.api_object(commerce_private.api_row_properties('commerce_api.products')),
		'coupon', commerce_private.api_object(commerce_private.api_row_properties('commerce_api.coupons')),
		'promotion', commerce_private.api_object(commerce_private.api_row_properties('commerce_api.promotions')),
		'order', commerce_private.api_object(o.properties || pg_catalog.jsonb_build_object('items', commerce_private.api_array(commerce_private.api_object(o.item)))),
		'seller_order', commerce_private.api_object(commerce_private.api_row_properties('commerce_api.seller_orders')
			|| pg_catalog.jsonb_build_object('items', commerce_private.api_array(commerce_private.api_object(o.item)))),
		'order_in_full', commerce_private.api_object(o.properties || pg_catalog.jsonb_build_object(
			'items', commerce_private.api_array(commerce_private.api_object(o.item || pg_catalog.jsonb_build_object('history',
				commerce_private.api_array(commerce_private.api_object(commerce_private.api_row_properties('commerce.order_item_events') - 'order_item_id'))))),
			'coupons', commerce_private.api_array(commerce_private.api_object(commerce_private.api_row_properties('commerce.order_coupons') - 'order_id')),
			'payments', commerce_private.api_array(commerce_private.api_object(commerce_private.api_row_properties('commerce.payments') - 'order_id')),
			'archived_at', commerce_private.api_schema_of('timestamptz', true) || '{"description": "when it was archived; null: it was not"}')),
		'order_sheet', commerce_private.api_object(commerce_private.api_row_properties('commerce.order_sheets') || pg_catalog.jsonb_build_object(
			'items', commerce_private.api_array(commerce_private.api_object(commerce_private.api_row_properties('commerce.order_sheet_items') - 'order_sheet_id')))),
		'exported_user', commerce_private.api_object('{"user": {"$ref": "#/components/schemas/user"}, "seller": {"type": ["object", "null"]}}'
			|| (SELECT pg_catalog.jsonb_object_agg(k.key, '{"type": "array", "items": {"type": "object"}}'::jsonb)
				FROM pg_catalog.unnest('{orders,charges,balance_entries,coupons,order_sheets}'::text[]) AS k (key))),
		'shop_status', commerce_private.status_schema())
		|| (SELECT pg_catalog.jsonb_object_agg(commerce_private.api_singular(c.relname), commerce_private.api_object(commerce_private.api_row_properties(c.oid)))
			FROM pg_catalog.pg_class c
			WHERE c.relkind = 'r' AND c.relname NOT IN ('orders', 'order_sheets', 'products', 'coupons', 'promotions')
			  AND c.reltype IN (SELECT f.prorettype FROM commerce_private.api_endpoints e JOIN pg_catalog.pg_proc f ON f.oid = e.function::regproc))
		|| (SELECT pg_catalog.jsonb_object_agg(t.typname, pg_catalog.jsonb_build_object('type', 'string',
						'description', coalesce(pg_catalog.obj_description(t.oid, 'pg_type'), t.typname),
						'enum', (SELECT pg_catalog.jsonb_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid)))
			FROM pg_catalog.pg_type t
			-- units move by SQL alone
			WHERE t.typnamespace = 'commerce'::regnamespace AND t.typtype = 'e' AND t.typname <> 'unit_kind')
		|| (SELECT pg_catalog.jsonb_object_agg(v.relname, commerce_private.api_object(r.properties)
						|| pg_catalog.jsonb_build_object('properties', r.properties || commerce_private.api_embedded_properties(v.oid),
														 'description', pg_catalog.obj_description(v.oid, 'pg_class')))
			FROM pg_catalog.pg_class v CROSS JOIN LATERAL (SELECT commerce_private.api_row_properties(v.oid) AS properties) r
			WHERE v.relnamespace = 'commerce_api'::regnamespace AND v.relkind = 'v')
	FROM (SELECT commerce_private.api_row_properties('commerce.orders') AS properties,
				 commerce_private.api_row_properties('commerce.order_items') - 'order_id' AS item) o
$$;
COMMENT ON FUNCTION commerce_private.api_schemas() IS 'the schemas of the OpenAPI document, without examples';

-- What an endpoint answers in "data".
CREATE FUNCTION commerce_private.api_data_schema(endpoint text)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH item AS (
		SELECT f.proretset,
			   CASE
				WHEN e.result IS NOT NULL THEN
					commerce_private.api_object(pg_catalog.jsonb_build_object(e.result, commerce_private.api_schema_of(f.prorettype::regtype, false)))
				WHEN f.prorettype = 'void'::regtype THEN '{"type": "null"}'
				WHEN e.completion = 'order' AND 'SELLER' = ANY (e.roles) THEN
					'{"anyOf": [{"$ref": "#/components/schemas/order"}, {"$ref": "#/components/schemas/seller_order"}]}'
				WHEN f.prorettype = 'record'::regtype THEN commerce_private.api_object(commerce_private.api_result_properties(f.oid))
				WHEN f.proname = 'api_charge_balance' THEN commerce_private.api_object(commerce_private.api_result_properties('commerce.charge_balance'))
				ELSE pg_catalog.jsonb_build_object('$ref', '#/components/schemas/' || CASE f.proname
					WHEN 'api_get_product' THEN 'product'
					WHEN 'api_get_order' THEN 'order_in_full'
					WHEN 'api_shop_status' THEN 'shop_status'
					WHEN 'export_user' THEN 'exported_user'
					ELSE (SELECT commerce_private.api_singular(c.relname) FROM pg_catalog.pg_class c WHERE c.reltype = f.prorettype) END) END AS schema
		FROM commerce_private.api_endpoints e
		JOIN pg_catalog.pg_proc f ON f.oid = e.function::regproc
		WHERE e.name = api_data_schema.endpoint)
	SELECT CASE WHEN i.proretset THEN commerce_private.api_array(i.schema) ELSE i.schema END FROM item i
$$;
COMMENT ON FUNCTION commerce_private.api_data_schema(text) IS 'JSON schema of what an endpoint answers';

-- What PostgREST answers by itself, with codes of its own.
CREATE FUNCTION commerce_private.api_postgrest_responses(OUT by_status jsonb, OUT components jsonb)
RETURNS record
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_object_agg(r.status, pg_catalog.jsonb_build_object('$ref', '#/components/responses/postgrest_' || r.status)),
		   pg_catalog.jsonb_object_agg('postgrest_' || r.status, pg_catalog.jsonb_build_object('description', r.description,
				'content',
				CASE r.status WHEN 300 THEN '{"application/json": {"schema": {"$ref": "#/components/schemas/ambiguity"}}}'
							  ELSE '{"application/json": {"schema": {"$ref": "#/components/schemas/error"}}}' END::jsonb))
	FROM (VALUES
		(300, 'PostgREST''s own: what select embeds is related in more than one way (PGRST201), and the hint says how to choose'),
		(400, 'PostgREST''s own: a body that is no JSON (PGRST102), a query that cannot be parsed (PGRST100), an unknown column (42703) or a malformed value (22P02); as text, a request line that is too long'),
		(401, 'PostgREST''s own: a token that is malformed, expired, or not signed by us (PGRST301, PGRST303); 42501 for a visitor without a token'),
		(403, 'PostgREST''s own: 42501, the role may not read this'),
		(404, 'PostgREST''s own: no such function, argument or view (PGRST202, PGRST205)'),
		(405, 'PostgREST''s own: the method is not allowed (PGRST101, PGRST117), or a GET of what writes (25006)'),
		(406, 'PostgREST''s own: a media type that is not available (PGRST107), or no single row for application/vnd.pgrst.object+json (PGRST116)'),
		(415, 'PostgREST''s own: a content type that is not understood'),
		(416, 'PostgREST''s own: an offset beyond the last row, when rows are counted (PGRST103)'),
		(500, 'PostgREST''s own: something it did not expect, such as JSON that is nested too deeply (54001), a wait of a view that was too long (55P03, 57014), or, as text, bytes that are not UTF-8'),
		(503, 'PostgREST''s own: it cannot reach the database (PGRST000 to PGRST002)'),
		(504, 'PostgREST''s own: no connection to the database became free in time (PGRST003)')) AS r (status, description)
$$;
COMMENT ON FUNCTION commerce_private.api_postgrest_responses() IS 'error responses that are not ours, as components and as references to them';

-- Error codes that an endpoint can answer: those that the comment of the function behind names, and those of any call.
CREATE FUNCTION commerce_private.api_endpoint_errors(endpoint text)
RETURNS TABLE (http_status int, code text, message text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH RECURSIVE mentioned (comment) AS (
		SELECT pg_catalog.obj_description(e.function::regproc, 'pg_proc')
		FROM commerce_private.api_endpoints e WHERE e.name = api_endpoint_errors.endpoint
		UNION
		-- "Errors: those of place_order(), ..."
		SELECT pg_catalog.obj_description(('commerce.' || r.name[1])::regproc, 'pg_proc')
		FROM mentioned m
		CROSS JOIN LATERAL pg_catalog.regexp_matches(pg_catalog.substring(m.comment, 'Errors: .*'), 'those of (\w+)\(\)', 'g') AS r (name))
	SELECT c.http_status, c.code, c.message
	FROM commerce.error_codes() c
	WHERE c.code = ANY ('{INVALID_REQUEST,SERVICE_BUSY,INTERNAL_SERVER_ERROR}')
	   OR (c.code = ANY ('{UNAUTHENTICATED,FORBIDDEN}')
		   AND (SELECT 'ANONYMOUS' <> ALL (e.roles) FROM commerce_private.api_endpoints e WHERE e.name = api_endpoint_errors.endpoint))
	   OR (c.code = 'IDEMPOTENCY_KEY_REUSED'
		   AND (SELECT e.keyed FROM commerce_private.api_endpoints e WHERE e.name = api_endpoint_errors.endpoint))
	   OR (c.code = 'ENTITY_NOT_FOUND' AND api_endpoint_errors.endpoint IN ('get_product', 'get_order'))
	   OR EXISTS (SELECT FROM mentioned m WHERE pg_catalog.substring(m.comment, 'Errors: .*') ~ ('\m' || c.code || '\M'))
$$;
COMMENT ON FUNCTION commerce_private.api_endpoint_errors(text) IS 'what can go wrong in an endpoint';

CREATE FUNCTION commerce_private.api_error_responses(endpoint text)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_object_agg(s.http_status, s.response)
	FROM (SELECT e.http_status, pg_catalog.jsonb_build_object(
				'description', pg_catalog.string_agg(pg_catalog.format('`%s`: %s', e.code, e.message), '; ' ORDER BY e.code),
				'headers', '{"Vary": {"$ref": "#/components/headers/Vary"}}'::jsonb
					|| CASE e.http_status WHEN 401 THEN '{"WWW-Authenticate": {"$ref": "#/components/headers/WWW-Authenticate"}}'
										  WHEN 429 THEN '{"Retry-After": {"$ref": "#/components/headers/Retry-After"}}' ELSE '{}' END::jsonb,
				'content', pg_catalog.jsonb_build_object('application/json', pg_catalog.jsonb_build_object(
					'schema', '{"$ref": "#/components/schemas/error"}'::jsonb,
					'examples', pg_catalog.jsonb_object_agg(e.code, pg_catalog.jsonb_build_object('value',
						pg_catalog.jsonb_build_object('code', e.code, 'message', e.message, 'details', NULL, 'hint', NULL)))))) AS response
		  FROM commerce_private.api_endpoint_errors(api_error_responses.endpoint) e
		  GROUP BY e.http_status) s
$$;
COMMENT ON FUNCTION commerce_private.api_error_responses(text) IS 'the error responses of an endpoint';

CREATE FUNCTION commerce_private.api_rpc_path(endpoint text, schemas jsonb)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH e AS (SELECT e.*, pg_catalog.obj_description(e.function::regproc, 'pg_proc') AS comment
			   FROM commerce_private.api_endpoints e WHERE e.name = api_rpc_path.endpoint),
	arguments AS (
		SELECT a.*, n.description,
			   CASE WHEN a.argument = 'items' THEN '{"$ref": "#/components/schemas/lines"}'
					ELSE commerce_private.api_schema_of(a.type, NOT a.required) END
			   || pg_catalog.jsonb_build_object('x-order', a.position)
			   || CASE WHEN n.description IS NULL THEN '{}' ELSE pg_catalog.jsonb_build_object('description', n.description) END AS schema
		FROM commerce_private.api_arguments a LEFT JOIN commerce_private.api_notes n USING (argument)
		WHERE a.endpoint = api_rpc_path.endpoint AND a.asked),
	has AS (
		SELECT e.location IS NOT NULL AS location,
			   e.keyed AS key,
			   e.name IN ('retry_payment', 'request_charge') AS always_pending, e.name = 'charge_balance' AS charge, e.name = 'sign_up' AS sign_up,
			   EXISTS (SELECT FROM commerce_private.api_arguments a WHERE a.endpoint = e.name AND a.argument = 'payment_method') AS payment,
			   d.schema AS data, commerce_private.api_example(d.schema, '', schemas) AS example
		FROM e, commerce_private.api_data_schema(e.name) AS d (schema)),
	success AS (
		SELECT pg_catalog.jsonb_object_agg(r.status, pg_catalog.jsonb_build_object(
			'description', r.description,
			'headers', '{"Vary": {"$ref": "#/components/headers/Vary"}}'::jsonb
				|| CASE WHEN r.status > 200 THEN '{"Location": {"$ref": "#/components/headers/Location"}}' ELSE '{}' END::jsonb
				|| CASE WHEN has.key THEN '{"Idempotent-Replayed": {"$ref": "#/components/headers/Idempotent-Replayed"}}' ELSE '{}' END::jsonb,
			'content', pg_catalog.jsonb_build_object('application/json', pg_catalog.jsonb_build_object(
				'schema', commerce_private.api_object(pg_catalog.jsonb_build_object(
					'code', '{"type": "string", "const": "SUCCESS"}'::jsonb,
					'message', '{"type": "string", "examples": ["the request succeeded", "\uc694\uccad\uc5d0 \uc131\uacf5\ud588\uc2b5\ub2c8\ub2e4."]}'::jsonb,
					'data', CASE WHEN has.charge AND r.status = 202 THEN '{"$ref": "#/components/schemas/payment"}' ELSE has.data END)),
				'example', pg_catalog.jsonb_build_object('code', 'SUCCESS', 'message', 'the request succeeded',
					'data', CASE WHEN has.charge AND r.status = 202 THEN commerce_private.api_example('{"$ref": "#/components/schemas/payment"}', '', schemas)
						WHEN r.status = 202 AND has.example ? 'items'
						THEN pg_catalog.jsonb_set(has.example, '{items,0,status}', '"PENDING_PAYMENT"')
							 || '{"status": "PENDING_PAYMENT", "payment_method": "EXTERNAL", "paid_at": null}'
						ELSE has.example END))))) AS responses
		FROM has
		CROSS JOIN LATERAL (VALUES
			(200, CASE WHEN has.sign_up THEN 'the user whom the token names already' ELSE 'done' END, NOT has.location OR has.charge OR has.sign_up),
			(201, 'made; Location says where it can be read', has.location AND NOT has.always_pending AND NOT has.charge),
			(202, 'made, and waiting for its payment', has.payment OR has.always_pending OR has.charge)) AS r (status, description, there)
		WHERE r.there),
	operation AS (
		SELECT pg_catalog.jsonb_build_object(
			'tags', CASE WHEN 'ANONYMOUS' = ANY (e.roles) THEN '["catalogue"]'
						 ELSE (SELECT pg_catalog.jsonb_agg(pg_catalog.lower(r::text)) FROM pg_catalog.unnest(e.roles) r) END,
			'summary', e.summary,
			'description', pg_catalog.format('%s.%s', e.summary, CASE WHEN 'ANONYMOUS' = ANY (e.roles) THEN '' ELSE
				' For the role ' || pg_catalog.lower(pg_catalog.array_to_string(e.roles, ' or ')) || '; the caller is whom the token names.' END
				|| CASE WHEN e.reads THEN ''
						WHEN e.keyed THEN ' A repeated `Idempotency-Key` has the first answer come again, and nothing done.'
						ELSE ' A repeated call finds the work done, so an `Idempotency-Key` is ignored.' END
				|| ' `limit` and `offset` are for views: an offset is refused here, and with `limit=0` nothing is done, and the answer is `null` or empty.'),
			'security', CASE WHEN 'ANONYMOUS' = ANY (e.roles) THEN '[{}, {"bearer": []}]' ELSE '[{"bearer": []}]' END::jsonb,
			-- nothing of a function can be embedded
			'responses', (SELECT p.by_status - '300' FROM commerce_private.api_postgrest_responses() p) || commerce_private.api_error_responses(e.name)
				|| s.responses) AS common,
			pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object('$ref', '#/components/parameters/Accept-Language'))
				|| CASE WHEN e.reads THEN '[]' ELSE '[{"$ref": "#/components/parameters/Prefer"}]' END::jsonb
				|| CASE WHEN has.key THEN '[{"$ref": "#/components/parameters/Idempotency-Key"}]' ELSE '[]' END::jsonb AS headers,
			e.*
		FROM e, has, success s)
	SELECT CASE WHEN o.reads THEN
		pg_catalog.jsonb_build_object('get', o.common || pg_catalog.jsonb_build_object('operationId', o.name,
			'parameters', o.headers || coalesce((
				SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', a.argument, 'in', 'query', 'required', a.required AND a.source = 'BODY',
							'schema', commerce_private.api_schema_of(a.type, false), 'description', coalesce(a.description, a.argument))
							|| CASE WHEN o.example ? a.argument THEN pg_catalog.jsonb_build_object('example', o.example -> a.argument) ELSE '{}' END
						ORDER BY a.position)
				FROM arguments a), '[]')))
	ELSE
		pg_catalog.jsonb_build_object('post', o.common || pg_catalog.jsonb_build_object('operationId', o.name, 'parameters', o.headers,
			'requestBody', pg_catalog.jsonb_build_object('required', true, 'content', pg_catalog.jsonb_build_object('application/json',
				pg_catalog.jsonb_build_object('example', o.example, 'schema', pg_catalog.jsonb_build_object('type', 'object',
					'additionalProperties', false,
					'required', coalesce((SELECT pg_catalog.jsonb_agg(a.argument ORDER BY a.position) FROM arguments a WHERE a.required AND a.source = 'BODY'), '[]'),
					'properties', coalesce((SELECT pg_catalog.jsonb_object_agg(a.argument, a.schema) FROM arguments a), '{}')))))))
	END
	FROM operation o
$$;
COMMENT ON FUNCTION commerce_private.api_rpc_path(text, jsonb) IS 'the path item of an endpoint';

CREATE FUNCTION commerce_private.api_view_path(view regclass, schemas jsonb)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_build_object('get', pg_catalog.jsonb_build_object(
		'operationId', 'read_' || v.relname,
		'tags', CASE WHEN 'ANONYMOUS' = ANY (r.roles) THEN '["catalogue"]'
					 ELSE (SELECT pg_catalog.jsonb_agg(pg_catalog.lower(x::text)) FROM pg_catalog.unnest(r.roles) x) END,
		'summary', pg_catalog.obj_description(v.oid, 'pg_class'),
		'description', pg_catalog.format('%s. All columns are there when `select` chooses none. `Accept: text/csv` has the rows as CSV, '
			'`Accept: application/vnd.pgrst.object+json` one row without its array.', pg_catalog.obj_description(v.oid, 'pg_class')),
		'security', CASE WHEN 'ANONYMOUS' = ANY (r.roles) THEN '[{}, {"bearer": []}]' ELSE '[{"bearer": []}]' END::jsonb,
		'parameters', '[{"$ref": "#/components/parameters/select"}, {"$ref": "#/components/parameters/order"}, '
					   '{"$ref": "#/components/parameters/limit"}, {"$ref": "#/components/parameters/offset"}, '
					   '{"$ref": "#/components/parameters/Prefer-count"}]'::jsonb
			|| (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', c.name, 'in', 'query', 'required', false,
						'schema', '{"type": "string"}'::jsonb, 'description', 'filter, such as `eq.1`, `gt.5`, `in.(1,2)`, `is.null`'
							|| coalesce('; ' || c.description, '')) ORDER BY c.ordinal)
				FROM commerce_private.api_columns(v.oid) c
				-- paging has these names already
				WHERE c.name NOT IN ('select', 'order', 'limit', 'offset')),
		'responses', (SELECT p.by_status FROM commerce_private.api_postgrest_responses() p) || pg_catalog.jsonb_build_object('200', s.response || '{"description": "rows; an empty array when there is none"}',
																					   '206', s.response || '{"description": "part of the rows, when they are counted"}')))
	FROM pg_catalog.pg_class v
	CROSS JOIN LATERAL (SELECT pg_catalog.array_agg(w.api_role ORDER BY w.api_role) AS roles FROM commerce_private.api_views w WHERE w.view = v.oid) r
	CROSS JOIN LATERAL (SELECT pg_catalog.jsonb_build_object('$ref', '#/components/schemas/' || v.relname) AS schema) w
	CROSS JOIN LATERAL (SELECT commerce_private.api_example(w.schema, '', schemas) AS row) e
	CROSS JOIN LATERAL (SELECT pg_catalog.jsonb_build_object('headers', '{"Content-Range": {"$ref": "#/components/headers/Content-Range"}}'::jsonb,
			'content', pg_catalog.jsonb_build_object('application/json', pg_catalog.jsonb_build_object(
				'schema', commerce_private.api_array(w.schema), 'example', pg_catalog.jsonb_build_array(e.row)))) AS response) s
	WHERE v.oid = api_view_path.view
$$;
COMMENT ON FUNCTION commerce_private.api_view_path(regclass, jsonb) IS 'the path item of a view';

CREATE FUNCTION commerce_private.api_components(schemas jsonb)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_build_object(
		'securitySchemes', '{"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "a token with the claims role (the database role) and sub (the user id), or those that the shop reads in their place"}}'::jsonb,
		'parameters', '{
			"Idempotency-Key": {"name": "Idempotency-Key", "in": "header", "required": false, "schema": {"type": "string", "minLength": 1, "maxLength": 255}, "description": "makes a repeated request harmless: the first answer comes again, with its status and Location. The caller''s own, per function; kept 24 hours, of charges for good"},
			"Accept-Language": {"name": "Accept-Language", "in": "header", "required": false, "schema": {"type": "string"}, "description": "language of messages: ko or en"},
			"Prefer": {"name": "Prefer", "in": "header", "required": false, "schema": {"type": "string"}, "description": "`tx=rollback` answers what would happen, and does nothing: a free quote"},
			"Prefer-count": {"name": "Prefer", "in": "header", "required": false, "schema": {"type": "string"}, "description": "`count=exact` counts all rows into Content-Range"},
			"select": {"name": "select", "in": "query", "required": false, "schema": {"type": "string"}, "description": "columns, and related rows to embed, such as `id,order_items(*)`"},
			"order": {"name": "order", "in": "query", "required": false, "schema": {"type": "string"}, "description": "such as `id.desc`"},
			"limit": {"name": "limit", "in": "query", "required": false, "schema": {"type": "integer", "minimum": 0}},
			"offset": {"name": "offset", "in": "query", "required": false, "schema": {"type": "integer", "minimum": 0}}}'::jsonb,
		'responses', (SELECT p.components FROM commerce_private.api_postgrest_responses() p),
		'headers', '{
			"Vary": {"schema": {"type": "string"}, "description": "Accept-Language"},
			"Location": {"schema": {"type": "string", "format": "uri-reference"}, "description": "where what was made can be read"},
			"Idempotent-Replayed": {"schema": {"type": "string", "const": "true"}, "description": "the key had done its work already"},
			"Retry-After": {"schema": {"type": "string"}, "description": "seconds"},
			"WWW-Authenticate": {"schema": {"type": "string"}, "description": "Bearer"},
			"Content-Range": {"schema": {"type": "string"}, "description": "which rows of how many: 0-9/57, or 0-9/* when they are not counted"}}'::jsonb,
		'schemas', (SELECT pg_catalog.jsonb_object_agg(s.key, s.value || CASE WHEN s.value ->> 'type' = 'object'
						THEN pg_catalog.jsonb_build_object('examples', pg_catalog.jsonb_build_array(commerce_private.api_example(s.value, '', schemas))) ELSE '{}' END)
					FROM pg_catalog.jsonb_each(schemas) s))
$$;
COMMENT ON FUNCTION commerce_private.api_components(jsonb) IS 'the components of the OpenAPI document';

-- jsonb sorts by length; who reads wants the catalogue before the administrator's work, columns as they are in
-- the table, and a name before what is said of it. "x-order" is a place among the others, and is left out.
CREATE FUNCTION commerce_private.api_in_order(document jsonb)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF pg_catalog.jsonb_typeof(document) = 'array' THEN
		RETURN (SELECT '[' || coalesce(pg_catalog.string_agg(
						CASE WHEN pg_catalog.jsonb_typeof(e.value) IN ('array', 'object') THEN commerce_private.api_in_order(e.value)
							 ELSE e.value::text END, ',' ORDER BY e.ordinal), '') || ']'
				FROM pg_catalog.jsonb_array_elements(document) WITH ORDINALITY AS e (value, ordinal));
	END IF;
	RETURN (SELECT '{' || coalesce(pg_catalog.string_agg(pg_catalog.to_json(p.key)::text || ':'
						|| CASE WHEN pg_catalog.jsonb_typeof(p.value) NOT IN ('array', 'object')
								  OR p.key IN ('example', 'examples', 'required', 'enum') THEN p.value::text
								ELSE commerce_private.api_in_order(p.value) END, ','
					ORDER BY (p.value ->> 'x-order')::int, pg_catalog.array_position('{openapi,info,operationId,title,name,in,tags,type,format,
						$ref,summary,version,description,contact,servers,security,parameters,requestBody,required,properties,headers,content,
						schema,responses,code,message,data,details,hint,paths,components}'::text[], p.key), p.key COLLATE "C"), '') || '}'
			FROM pg_catalog.jsonb_each(document) p WHERE p.key <> 'x-order');
END
$$;
COMMENT ON FUNCTION commerce_private.api_in_order(jsonb) IS 'an array or object as JSON text, in the order of a reader';

-- Everybody's, then the buyer's, the seller's and the administrator's; of each what is read, then what is done.
CREATE FUNCTION commerce_private.api_paths_in_order(paths jsonb)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_object_agg(o.key, o.value || pg_catalog.jsonb_build_object('x-order', o.place))
	FROM (SELECT p.key, p.value, pg_catalog.row_number() OVER (
				ORDER BY pg_catalog.array_position('{catalogue,buyer,seller,admin}'::text[], pg_catalog.jsonb_path_query_first(p.value, '$.*.tags[0]') #>> '{}'),
						 p.key LIKE '/rpc/%', p.value ? 'post', p.key COLLATE "C") AS place
		  FROM pg_catalog.jsonb_each(paths) p) o
$$;
COMMENT ON FUNCTION commerce_private.api_paths_in_order(jsonb) IS 'paths with the places that they have among each other';

CREATE FUNCTION commerce_private.build_openapi()
RETURNS json
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT commerce_private.api_in_order(pg_catalog.jsonb_build_object(
		'openapi', '3.1.0',
		'info', pg_catalog.jsonb_build_object('title', 'commerce',
			'version', (SELECT e.extversion FROM pg_catalog.pg_extension e WHERE e.extname = 'commerce'),
			'description', pg_catalog.obj_description('commerce_api'::regnamespace, 'pg_namespace'),
			'contact', '{"name": "whoever runs this shop"}'::jsonb,
			'license', '{"name": "PostgreSQL License", "identifier": "PostgreSQL"}'::jsonb),
		'servers', '[{"url": "/"}]'::jsonb,
		'tags', '[{"name": "catalogue", "description": "for everybody"}, {"name": "buyer", "description": "for a buyer, about its own"}, {"name": "seller", "description": "for a seller, about its own"}, {"name": "admin", "description": "for an administrator"}]'::jsonb,
		'paths', commerce_private.api_paths_in_order('{"/": {"get": {"operationId": "root", "tags": ["catalogue"], "summary": "this document; for browsers a page", "description": "The OpenAPI document. Who accepts text/html before JSON is answered a page.", "security": [{}, {"bearer": []}],
					"responses": {"200": {"description": "OpenAPI 3.1", "content": {"application/openapi+json": {"schema": {"type": "object"}}, "text/html": {"schema": {"type": "string"}}}},
								  "401": {"description": "a token that is not good", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/error"}}}}}}}}'::jsonb
			|| pg_catalog.jsonb_build_object('/rpc/operator', pg_catalog.jsonb_build_object('get', '{"operationId": "operator", "tags": ["admin"], "security": [{}, {"bearer": []}],
					"description": "The page itself is for everybody and has nothing of the shop in it; it asks rpc/shop_status with an administrator''s token."}'::jsonb
				|| pg_catalog.jsonb_build_object('summary', (SELECT pg_catalog.obj_description(f.oid, 'pg_proc')
												   FROM pg_catalog.pg_proc f WHERE f.pronamespace = 'commerce_api'::regnamespace AND f.proname = 'operator'),
					'responses', (SELECT p.by_status - '300' FROM commerce_private.api_postgrest_responses() p)
						|| '{"200": {"description": "the page", "content": {"text/html": {"schema": {"type": "string"}}}}}')))
			|| (SELECT pg_catalog.jsonb_object_agg('/rpc/' || e.name, commerce_private.api_rpc_path(e.name, s.schemas)) FROM commerce_private.api_endpoints e)
			|| (SELECT pg_catalog.jsonb_object_agg('/' || v.relname, commerce_private.api_view_path(v.oid, s.schemas))
				FROM pg_catalog.pg_class v WHERE v.relnamespace = 'commerce_api'::regnamespace AND v.relkind = 'v')),
		'components', commerce_private.api_components(s.schemas)))::json
	FROM (SELECT commerce_private.api_schemas() OFFSET 0) s (schemas)
$$;
COMMENT ON FUNCTION commerce_private.build_openapi() IS 'makes the OpenAPI document anew';

CREATE TABLE commerce_private.api_document (
	document jsonb NOT NULL,
	in_order json NOT NULL
);
COMMENT ON TABLE commerce_private.api_document IS 'the OpenAPI document, one row, made by describe_api(); in_order is what GET / answers';

CREATE FUNCTION commerce_private.openapi()
RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT d.document FROM commerce_private.api_document d
$$;
COMMENT ON FUNCTION commerce_private.openapi() IS 'the OpenAPI 3.1 document of the REST interface';

-- sql/install/api/pages.sql

-- REST: what GET / answers, and a page for operators, whose HTML, style and script are files of web/.

-- PostgREST takes a function that returns such a domain for the maker of that media type.
CREATE DOMAIN commerce_api."*/*" AS bytea;
COMMENT ON DOMAIN commerce_api."*/*" IS 'any media type; the function says which';
CREATE DOMAIN commerce_api."text/html" AS text;
COMMENT ON DOMAIN commerce_api."text/html" IS 'a page for browsers';

CREATE FUNCTION commerce_private.api_html(string text)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(api_html.string, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;')
$$;
COMMENT ON FUNCTION commerce_private.api_html(text) IS 'text as HTML';

-- A page runs its own script and has its own style, known by their hashes, and nothing else.
CREATE FUNCTION commerce_private.csp_hash(content text)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '''sha256-' || pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(csp_hash.content, 'UTF8')), 'base64') || ''''
$$;
COMMENT ON FUNCTION commerce_private.csp_hash(text) IS 'what a Content-Security-Policy calls a style or script that stands in the page';

CREATE FUNCTION commerce_private.set_headers(headers jsonb)
RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT FROM pg_catalog.set_config('response.headers',
		(coalesce(nullif(pg_catalog.current_setting('response.headers', true), ''), '[]')::jsonb
		 || (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(h.key, h.value)) FROM pg_catalog.jsonb_each(set_headers.headers) h))::text, true)
$$;
COMMENT ON FUNCTION commerce_private.set_headers(jsonb) IS 'adds headers to the response that PostgREST will give';

CREATE FUNCTION commerce_private.index_style()
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT ':root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:62em;margin:2em auto;padding:0 1em}'
		'table{border-collapse:collapse;width:100%}td{padding:.2em .8em .2em 0;vertical-align:top;border-top:1px solid #8886}'
		'code{white-space:nowrap}h2{margin-top:1.6em}small{opacity:.7}'
$$;
COMMENT ON FUNCTION commerce_private.index_style() IS 'style of api_index_page()';

CREATE FUNCTION commerce_private.api_index_page()
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>commerce</title><style>'
		|| commerce_private.index_style() || '</style></head><body><h1>commerce '
		|| commerce_private.api_html(commerce_private.openapi()->'info'->>'version') || '</h1><p>'
		|| commerce_private.api_html(commerce_private.openapi()->'info'->>'description')
		|| '. Programs get the <a href="https://spec.openapis.org/oas/v3.1.0">OpenAPI 3.1</a> document here: <code>curl -H ''Accept: application/openapi+json''</code>. '
		'The state of the shop is on <a href="rpc/operator">a page of its own</a>.</p>'
		|| '<h2>Reading</h2><table>'
		|| (SELECT pg_catalog.string_agg(pg_catalog.format('<tr><td><code>GET /%s</code></td><td>%s <small>%s</small></td></tr>', v.name,
					commerce_private.api_html(pg_catalog.obj_description(v.view, 'pg_class')), v.roles), '' ORDER BY v.name)
			FROM (SELECT w.name, w.view, CASE WHEN 'ANONYMOUS' = ANY (pg_catalog.array_agg(w.api_role)) THEN 'everybody'
											  ELSE pg_catalog.lower(pg_catalog.string_agg(w.api_role::text, ', ' ORDER BY w.api_role)) END AS roles
				  FROM commerce_private.api_views w GROUP BY 1, 2) v)
		|| '</table><h2>Doing</h2><table>'
		|| (SELECT pg_catalog.string_agg(pg_catalog.format('<tr><td><code>%s /rpc/%s</code></td><td>%s <small>%s</small></td></tr>',
					CASE WHEN e.reads THEN 'GET' ELSE 'POST' END, e.name, commerce_private.api_html(e.summary),
					CASE WHEN 'ANONYMOUS' = ANY (e.roles) THEN 'everybody' ELSE pg_catalog.lower(pg_catalog.array_to_string(e.roles, ', ')) END), '' ORDER BY e.name)
			FROM commerce_private.api_endpoints e)
		|| '</table></body></html>'
$$;
COMMENT ON FUNCTION commerce_private.api_index_page() IS 'the page that a browser gets of GET /';

-- Who takes anything is a program; who says text/html, and nothing that it would rather have, a browser.
CREATE FUNCTION commerce_private.api_prefers_page(accept text)
RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(w.page > 0 AND w.page >= coalesce(w.document, w.application, w.anything, 0), false)
	FROM (SELECT max(a.q) FILTER (WHERE a.type = 'text/html') AS page,
				 max(a.q) FILTER (WHERE a.type IN ('application/openapi+json', 'application/json')) AS document,
				 max(a.q) FILTER (WHERE a.type = 'application/*') AS application,
				 max(a.q) FILTER (WHERE a.type = '*/*') AS anything
		  FROM (SELECT pg_catalog.lower(pg_catalog.btrim(pg_catalog.split_part(r.range, ';', 1))) AS type,
					   coalesce(pg_catalog.substring(r.range, '(?i);\s*q=([01](?:\.\d{0,3})?)')::numeric, 1) AS q
				FROM pg_catalog.string_to_table(api_prefers_page.accept, ',') AS r (range)) a) w
$$;
COMMENT ON FUNCTION commerce_private.api_prefers_page(text) IS 'whether a header Accept asks for HTML rather than JSON';

CREATE FUNCTION commerce_api.root()
RETURNS commerce_api."*/*"
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	page boolean := commerce_private.api_prefers_page(commerce_private.request_header('accept'));
BEGIN
	PERFORM commerce_private.set_headers(pg_catalog.jsonb_build_object(
		'Content-Type', CASE WHEN page THEN 'text/html; charset=utf-8' ELSE 'application/openapi+json' END,
		'Vary', 'Accept',
		'X-Content-Type-Options', 'nosniff',
		'Content-Security-Policy', pg_catalog.format('default-src ''none''; style-src %s; base-uri ''none''; form-action ''none''; frame-ancestors ''none''',
													 commerce_private.csp_hash(commerce_private.index_style()))));
	RETURN pg_catalog.convert_to(CASE WHEN page THEN commerce_private.api_index_page() ELSE (SELECT d.in_order::text FROM commerce_private.api_document d) END, 'UTF8');
END
$$;
COMMENT ON FUNCTION commerce_api.root() IS 'GET /: the OpenAPI document, or, for browsers, a page (db-root-spec = "root")';

-- The build puts a file in the place of its name between two @.
CREATE FUNCTION commerce_private.operator_page(OUT html text, OUT style text, OUT script text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT $web$
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>commerce</title>
<style></style>
</head>
<body>

<header>
	<h1>commerce</h1>
	<p id="verdict" role="status"></p>
	<p id="as-of"></p>
	<nav data-label="language">
		<button type="button" data-language="ko" lang="ko">&#xd55c;&#xad6d;&#xc5b4;</button>
		<button type="button" data-language="en" lang="en">English</button>
	</nav>
	<button type="button" id="forget" data-text="forget" hidden></button>
</header>

<noscript><p class="alarm">This page needs JavaScript. &#xc774; &#xd654;&#xba74;&#xc5d0;&#xb294; &#xc790;&#xbc14;&#xc2a4;&#xd06c;&#xb9bd;&#xd2b8;&#xac00; &#xd544;&#xc694;&#xd569;&#xb2c8;&#xb2e4;.</p></noscript>

<form id="login" hidden>
	<h2 data-text="login"></h2>
	<p id="why" role="alert"></p>
	<label for="token" data-text="token"></label>
	<input id="token" type="password" autocomplete="off" spellcheck="false" required>
	<button data-text="show"></button>
	<p data-text="tokenStays"></p>
</form>

<p id="gone" class="alarm" role="alert" hidden></p>

<main id="main" tabindex="-1" hidden>

	<section id="problems-section" hidden>
		<h2 data-text="problems"></h2>
		<ul id="problems"></ul>
	</section>

	<section>
		<h2 data-text="health"></h2>
		<dl id="health"></dl>
		<p><button type="button" id="check" data-text="checkBooks"></button> <span data-text="checkCosts"></span></p>
	</section>

	<section class="half">
		<h2 data-text="waiting"></h2>
		<table><thead></thead><tbody id="waiting"></tbody></table>
	</section>

	<section class="half">
		<h2 data-text="runningOut"></h2>
		<p class="note" data-text="runningOutNote"></p>
		<table><thead></thead><tbody id="running-out"></tbody></table>
	</section>

	<section>
		<h2 id="orders-title"></h2>
		<dl id="orders" class="figures"></dl>
	</section>

	<section class="third first">
		<h2 data-text="bestSellers"></h2>
		<table><thead></thead><tbody id="popular"></tbody></table>
	</section>

	<section class="third">
		<h2 data-text="ordersPerMinute"></h2>
		<div id="per-minute" class="chart"></div>
	</section>

	<section class="third">
		<h2 data-text="unitsPerDay"></h2>
		<div id="per-day" class="chart"></div>
	</section>

	<section>
		<h2 data-text="subscriptions"></h2>
		<table class="many"><thead></thead><tbody id="subscriptions"></tbody></table>
	</section>

	<section>
		<h2 data-text="jobs"></h2>
		<table class="many"><thead></thead><tbody id="jobs"></tbody></table>
	</section>

	<section>
		<h2 data-text="escrow"></h2>
		<dl id="escrow" class="figures"></dl>
	</section>

</main>

<script></script>
</body>
</html>
$web$, $web$
:root {
	color-scheme: light dark;
	--ground: #f3f4f6; --card: #ffffff; --text: #17202b; --quiet: #56616f; --line: #d9dee5;
	--bar: #2463c9; --good: #17703a; --warning: #8a5300; --bad: #b1201a;
	--warning-ground: #fff4df; --bad-ground: #fdeceb;
}
@media (prefers-color-scheme: dark) {
	:root {
		--ground: #11161c; --card: #1a2129; --text: #e6eaef; --quiet: #a1adba; --line: #323c47;
		--bar: #6ea3f7; --good: #66cf8e; --warning: #f0b45a; --bad: #ff8a80;
		--warning-ground: #33270f; --bad-ground: #3b1a18;
	}
}
* { box-sizing: border-box }
[hidden] { display: none !important }
body { margin: 0; background: var(--ground); color: var(--text); font: 15px/1.5 system-ui, 'Noto Sans KR', 'Malgun Gothic', sans-serif; word-break: keep-all; overflow-wrap: anywhere }
h1, h2, p, ul, dl, dd { margin: 0; padding: 0 }
h1 { font-size: 1.1rem }
h2 { font-size: 1rem; margin-bottom: .4rem }
.note, .quiet { color: var(--quiet); font-size: .9em }

header { display: flex; flex-wrap: wrap; gap: .4rem 1.2rem; align-items: baseline; padding: .7rem 1.2rem; background: var(--card); border-bottom: 1px solid var(--line) }
header #as-of { flex: 1; color: var(--quiet); min-width: 12rem }
#verdict { font-weight: 600 }

button { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--quiet); border-radius: 5px; padding: .15rem .7rem; cursor: pointer }
button[aria-pressed=true] { border-color: var(--bar); box-shadow: inset 0 0 0 1px var(--bar) }
button:disabled { opacity: .6; cursor: default }
:focus-visible { outline: 3px solid var(--bar); outline-offset: 2px }

form { max-width: 32rem; margin: 3rem auto; padding: 1.4rem; background: var(--card); border: 1px solid var(--line); border-radius: 8px; display: grid; gap: .6rem }
form button { justify-self: start }
input { font: inherit; width: 100%; padding: .45rem; color: inherit; background: var(--ground); border: 1px solid var(--quiet); border-radius: 5px }
#why:empty { display: none }
#why { color: var(--bad); font-weight: 600 }

main:focus { outline: none }
main { display: grid; grid-template-columns: repeat(6, 1fr); gap: .9rem; padding: 1rem 1.2rem; max-width: 100rem; margin: auto }
section { position: relative; grid-column: 1 / -1; background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; min-width: 0; overflow-x: auto }
section.half { grid-column: span 3 }
section.third { grid-column: span 2 }
@media (max-width: 70rem) { section.third { grid-column: span 3 } section.first { grid-column: 1 / -1 } }
@media (max-width: 46rem) {
	main { grid-template-columns: 1fr; padding: .6rem }
	section, section.half, section.third { grid-column: 1 / -1 }
}
body.gone main { opacity: .45 }

.good, .warning, .bad { font-weight: 600 }
.good { color: var(--good) }
.warning { color: var(--warning) }
.bad { color: var(--bad) }
.alarm { margin: .9rem 1.2rem 0; padding: .7rem 1rem; border: 2px solid var(--bad); border-radius: 8px; background: var(--bad-ground); color: var(--bad); font-weight: 600 }

#problems { list-style: none; display: grid; gap: .5rem }
#problems li { padding: .5rem .8rem; border-left: 5px solid; border-radius: 4px; overflow-wrap: anywhere }
#problems li.bad { background: var(--bad-ground) }
#problems li.warning { background: var(--warning-ground) }
#problems li p { color: var(--text); font-weight: 400 }

dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .6rem 1.6rem }
#health + p { margin-top: .7rem }
#health dd { overflow-wrap: anywhere }
dt { color: var(--quiet); font-size: .9em }
.figures { display: flex; flex-wrap: wrap }
.figures div { min-width: 8.5rem }
.figures dd { font-size: 1.5rem; font-weight: 600; font-variant-numeric: tabular-nums }

table { border-collapse: collapse; width: 100% }
th { text-align: left; font-weight: 500; color: var(--quiet); font-size: .9em; white-space: nowrap }
td, th { padding: .2rem .9rem .2rem 0; vertical-align: top }
td { border-top: 1px solid var(--line); overflow-wrap: break-word; unicode-bidi: isolate }
td.long { overflow-wrap: anywhere; min-width: 9rem; max-width: 34rem }
.time, td.warning, td.bad { white-space: nowrap }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.nothing { color: var(--quiet) }

/* rows of many columns become blocks of lines, each with its title; their roles are said in the script */
@media (max-width: 46rem) {
	.many thead { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden }
	.many tr { display: block; padding: .4rem 0; border-top: 1px solid var(--line) }
	.many td { display: flex; justify-content: space-between; gap: 1rem; border: 0; padding: 0; text-align: right; max-width: none; white-space: normal }
	.many td::before { content: attr(data-title); color: var(--quiet); font-weight: 400; text-align: left; white-space: nowrap }
	.many td:first-child { font-weight: 600 }
	.many td.none { display: none }
}

.chart { height: 190px }
.chart svg { display: block; width: 100%; height: 100% }
.chart rect { fill: var(--bar) }
.chart line { stroke: var(--line) }
.chart line.axis { stroke: var(--quiet) }
.chart text { fill: var(--quiet); font-size: 12px }
$web$, $web$
'use strict';

// What the page says, in English and Korean. Of a problem: what it is, and what can be done.
const texts = {
	en: {
		language: 'Language', forget: 'Forget the token', login: 'The shop at a glance', token: 'Token of an administrator', show: 'Show',
		tokenStays: 'It stays in this browser tab until the tab is closed, and is sent to this server alone.',
		noToken: 'That is no token: it has letters, digits, dots, - and _ in it, and no spaces.',
		tokenInAddress: 'A token in the address is not used, because addresses are kept and passed on. Paste it here.',
		tokenEnded: why => `The token is not good, or no longer: ${why}`, notAdmin: why => `The token is not an administrator's: ${why}`,
		asOf: (time, version) => `as of ${time} \u00b7 version ${version}`,
		gone: (since, why) => `No answer since ${since} (${why}). What is shown here is from then.`, never: 'the page was opened',
		noAnswer: 'no connection', timeout: 'no answer within 10 seconds', wrongAnswer: 'an answer that is not the shop\'s', goneTitle: 'no answer',
		verdict: (bad, warnings) => [bad && `${bad} to be looked at now`, warnings && `${warnings} to know about`].filter(Boolean).join(', ') || 'All is well',
		problems: 'What is wrong', health: 'Is it healthy?', waiting: 'What waits for somebody', runningOut: 'What runs out', bestSellers: 'What sells',
		runningOutNote: 'Of the best sellers, what is gone within three days at their pace of these days.',
		ordersSince: time => `Orders since ${time}`, ordersPerMinute: 'Orders a minute', unitsPerDay: 'Units sold a day, less cancelled',
		subscriptions: 'Subscriptions to events', jobs: 'Jobs', escrow: 'Stock and coupons in shared memory',
		placed: 'placed', paid: 'paid', revenue: 'revenue, less refunds', refunded: 'refunded', sheets: 'order sheets in an hour', conversion: 'became orders',
		counters: 'counters', inFlight: 'units in flight', waiters: 'sessions that wait',
		kind: 'what', count: 'how many', oldest: 'the oldest', product: 'product', seller: 'seller', stock: 'left', lasts: 'lasts', units: 'units', price: 'price now',
		name: 'name', state: 'state', destination: 'to', lag: 'events behind', late: 'late by', parked: 'tried again', dead: 'dead letters', lastSuccess: 'last delivery', lastError: 'last error',
		schedule: 'schedule', lastRun: 'last run', rows: 'rows', backlog: 'left to do', failures: 'failures since ever',
		nothing: 'nothing', none: 'none', shop: 'the shop itself', soldOut: 'sold out', upTo: n => `${n} or more`, days: n => `${n} days`, most: 'most', latest: 'latest',
		minuteOf: (n, time) => `${n} orders at ${time}`, dayOf: (n, day) => `${n} units on ${day}`,
		kinds: {
			RETURNS: 'Returns', EXCHANGES: 'Exchanges', CANCELLATIONS: 'Cancellations to agree to', UNPAID_ORDERS: 'Orders not paid yet', OVERDUE_ORDERS: 'Orders whose time to pay is over',
			REFUNDS: 'Refunds that the provider has to answer', FAILED_REFUNDS: 'Refunds that failed', UNEXPECTED_PAYMENTS: 'Payments that nobody asked for',
			DEAD_LETTERS: 'Dead letters', DEAD_PAYMENT_RESULTS: 'Payment results that were given up',
		},
		states: { OK: 'ok', FAILED: 'failed', OVERDUE: 'overdue', NEVER: 'never ran', DELIVERING: 'delivering', WAITING: 'no relay', PAUSED: 'paused', PULLED: 'pulled by a client' },
		areas: { jobs: 'Jobs', worker: 'Worker', delivery: 'Deliveries', horizon: 'Old transactions', books: 'Books' },
		jobsGood: n => `${n} ran in time`, workerStates: {
			WORKING: 'works', IDLE: 'idle, starts by itself', OFF: 'switched off for this database', READ_ONLY: 'keeps out: read-only', SUBSCRIBER: 'keeps out: orders are sent here', NO_SLOT: 'no place for this database',
		},
		noWorker: 'none; jobs do its work', byWorker: 'by the worker', deliveryGood: n => n ? `subscriptions: ${n}, none late` : 'no subscriptions', horizonGood: 'none that holds anything back', horizonYoung: since => `the oldest ${since}`,
		checkBooks: 'Check the books now', checkCosts: 'Reads everything: seconds, in a large shop too long for here.', checking: 'checking \u2026', unchecked: 'not checked here',
		booksGood: time => `right, checked ${time}`, booksBad: list => `wrong: ${list}`, booksFailed: why => `not checked: ${why}. SELECT * FROM commerce.check_invariants() takes its time.`,
		since: time => `since ${time}`,
		problem: {
			REBASING: () => ['Data that came from another server is being made this one\'s own: orders are refused until then.', 'It goes on by itself; the server\'s log tells how far it is.'],
			BOOKS_WRONG: p => [`The books are wrong: ${p.subject}.`, 'SELECT * FROM commerce.scrub says where.'],
			FOREIGN_COLUMNS: p => [`Columns that are not commerce's: ${p.subject}.`, 'A dump cannot be restored without them: docs/dumps.md.'],
			EMPTY_PUBLICATIONS: p => [`Publications publish nothing: ${p.subject}.`, 'After a restore their tables have to be added again: docs/dumps.md.'],
			JOBS_OVERDUE: p => [`${p.count} jobs are overdue: ${p.subject}.`, 'Does pg_cron run, and can it connect? Its table cron.job_run_details says so. SELECT commerce.schedule_jobs() puts the jobs right.'],
			JOB_FAILED: p => [`Job ${p.subject} failed: ${p.detail}`, 'It is tried again at its next time. The server\'s log has more.'],
			JOBS_NOT_SCHEDULED: p => [`${p.count} jobs have never run: ${p.subject}.`, 'Those that pg_cron has run when their minute comes; SELECT commerce.schedule_jobs() hands it the others.'],
			NO_WORKER: () => ['The maintenance worker has no place for this database.', 'Raise commerce.maintenance_databases and restart the server.'],
			OVERDUE_ORDERS: p => [`${p.count} unpaid orders hold their stock although their time to pay is over.`, 'Neither the worker nor the job expire-pending-orders ends them: see the server\'s log.'],
			DEAD_LETTERS: p => [`${p.count} events were given up.`, 'commerce.dead_letters says why; redeliver() tries them again, discard_dead_letters() lets them go.'],
			DEAD_PAYMENT_RESULTS: p => [`${p.count} payment results could not be taken.`, 'commerce_private.parked_payment_results has them, with their errors.'],
			NO_RELAY: p => [`No relay delivers ${p.subject}.`, 'Does commerce-relay run, and has it the secrets? Its log says so.'],
			DELIVERY_FAILS: p => [`Deliveries to ${p.subject} fail: ${p.detail}`, 'They are tried again.'],
			SUBSCRIPTION_BEHIND: p => [`${p.subject} is late.`, 'Either its consumer is slow or gone, or an old transaction holds the events back.'],
			SUBSCRIPTION_PAUSED: p => [`${p.subject} is paused${p.detail ? `: ${p.detail}` : ''}.`, 'resume_subscription() ends that. Its events are kept meanwhile.'],
			OUTBOX_HELD: p => [`Old events are kept for ${p.subject}.`, 'Let it catch up, or give its events up with seek_subscription() or unsubscribe().'],
			HORIZON_HELD: p => [`An old transaction holds events and folding back: ${p.detail}, ${p.subject}.`, 'pg_terminate_backend() ends a session, ROLLBACK PREPARED a prepared transaction.'],
			CONVERSION_LOW: p => [`Few order sheets become paid orders: ${p.detail} of late.`, 'Can buyers pay? Is the payment provider there?'],
			DIRECT_CHARGE: () => ['commerce.direct_charge is on: over REST a buyer charges a balance without anybody having paid.', 'Good for a demonstration. Turn it off where a payment provider takes the money.'],
		},
	},
	ko: {
		language: '\uc5b8\uc5b4', forget: '\ud1a0\ud070 \uc9c0\uc6b0\uae30', login: '\uc0c1\uc810 \ud604\ud669', token: '\uad00\ub9ac\uc790 \ud1a0\ud070', show: '\ubcf4\uae30',
		tokenStays: '\ud1a0\ud070\uc740 \ud0ed\uc744 \ub2eb\uc744 \ub54c\uae4c\uc9c0 \uc774 \ube0c\ub77c\uc6b0\uc800 \ud0ed\uc5d0\ub9cc \ub0a8\uace0, \uc774 \uc11c\ubc84\uc5d0\ub9cc \ubcf4\ub0c5\ub2c8\ub2e4.',
		noToken: '\ud1a0\ud070\uc774 \uc544\ub2d9\ub2c8\ub2e4. \ud1a0\ud070\uc740 \uc601\ubb38\uc790, \uc22b\uc790, \uc810, -, _\ub85c \ub418\uc5b4 \uc788\uace0 \uacf5\ubc31\uc774 \uc5c6\uc2b5\ub2c8\ub2e4.',
		tokenInAddress: '\uc8fc\uc18c\ub294 \uae30\ub85d\uc5d0 \ub0a8\uace0 \uc804\ub2ec\ub418\ubbc0\ub85c \uc8fc\uc18c\uc5d0 \ub4e0 \ud1a0\ud070\uc740 \uc4f0\uc9c0 \uc54a\uc2b5\ub2c8\ub2e4. \uc5ec\uae30\uc5d0 \ubd99\uc5ec \ub123\uc73c\uc138\uc694.',
		tokenEnded: why => `\ud1a0\ud070\uc774 \uc720\ud6a8\ud558\uc9c0 \uc54a\uac70\ub098 \ub9cc\ub8cc\ub418\uc5c8\uc2b5\ub2c8\ub2e4: ${why}`, notAdmin: why => `\uad00\ub9ac\uc790\uc758 \ud1a0\ud070\uc774 \uc544\ub2d9\ub2c8\ub2e4: ${why}`,
		asOf: (time, version) => `${time} \uae30\uc900 \u00b7 \ubc84\uc804 ${version}`,
		gone: (since, why) => `${since}\ubd80\ud130 \uc751\ub2f5\uc774 \uc5c6\uc2b5\ub2c8\ub2e4(${why}). \uc544\ub798\ub294 \uadf8\ub54c\uc758 \uac12\uc785\ub2c8\ub2e4.`, never: '\ud654\uba74\uc744 \uc5f0 \ub54c',
		noAnswer: '\uc5f0\uacb0\ub418\uc9c0 \uc54a\uc74c', timeout: '10\ucd08 \uc548\uc5d0 \uc751\ub2f5\ud558\uc9c0 \uc54a\uc74c', wrongAnswer: '\uc0c1\uc810\uc758 \uc751\ub2f5\uc774 \uc544\ub2d8', goneTitle: '\uc751\ub2f5 \uc5c6\uc74c',
		verdict: (bad, warnings) => [bad && `\uc9c0\uae08 \ubcfc \uac83 ${bad}\uac74`, warnings && `\uc54c\uc544 \ub458 \uac83 ${warnings}\uac74`].filter(Boolean).join(', ') || '\ubaa8\ub450 \uc815\uc0c1\uc785\ub2c8\ub2e4',
		problems: '\ubb38\uc81c', health: '\uac74\uac15\ud55c\uac00?', waiting: '\uc0ac\ub78c\uc744 \uae30\ub2e4\ub9ac\ub294 \uac83', runningOut: '\ub5a8\uc5b4\uc838 \uac00\ub294 \uac83', bestSellers: '\uc798 \ud314\ub9ac\ub294 \uac83',
		runningOutNote: '\ub9ce\uc774 \ud314\ub9ac\ub294 \uc0c1\ud488 \uac00\uc6b4\ub370, \uc694\uc998 \uc18d\ub3c4\ub77c\uba74 \uc0ac\ud758 \uc548\uc5d0 \ub5a8\uc5b4\uc9c8 \uac83.',
		ordersSince: time => `${time}\ubd80\ud130\uc758 \uc8fc\ubb38`, ordersPerMinute: '\ubd84\ub2f9 \uc8fc\ubb38', unitsPerDay: '\ud558\ub8e8 \ud310\ub9e4 \uc218\ub7c9(\ucde8\uc18c \uc81c\uc678)',
		subscriptions: '\uc774\ubca4\ud2b8 \uad6c\ub3c5', jobs: '\uc791\uc5c5', escrow: '\uacf5\uc720 \uba54\ubaa8\ub9ac\uc758 \uc7ac\uace0\uc640 \ucfe0\ud3f0',
		placed: '\uc8fc\ubb38', paid: '\uacb0\uc81c', revenue: '\ub9e4\ucd9c(\ud658\ubd88 \uc81c\uc678)', refunded: '\ud658\ubd88', sheets: '\ud55c \uc2dc\uac04\uc758 \uc8fc\ubb38\uc11c', conversion: '\uc8fc\ubb38\uc774 \ub41c \ube44\uc728',
		counters: '\uce74\uc6b4\ud130', inFlight: '\ucc98\ub9ac \uc911\uc778 \uc218\ub7c9', waiters: '\uae30\ub2e4\ub9ac\ub294 \uc138\uc158',
		kind: '\uc885\ub958', count: '\uac74\uc218', oldest: '\uac00\uc7a5 \uc624\ub798\ub41c \uac83', product: '\uc0c1\ud488', seller: '\ud310\ub9e4\uc790', stock: '\ub0a8\uc740 \uc218\ub7c9', lasts: '\ub0a8\uc740 \uae30\uac04', units: '\ud310\ub9e4 \uc218\ub7c9', price: '\uc9c0\uae08 \uac00\uaca9',
		name: '\uc774\ub984', state: '\uc0c1\ud0dc', destination: '\ubcf4\ub0b4\ub294 \uacf3', lag: '\ubc00\ub9b0 \uc774\ubca4\ud2b8', late: '\uc9c0\uc5f0', parked: '\uc7ac\uc2dc\ub3c4 \uc911', dead: '\ud3ec\uae30\ud55c \uc774\ubca4\ud2b8', lastSuccess: '\ub9c8\uc9c0\ub9c9 \uc804\ub2ec', lastError: '\ub9c8\uc9c0\ub9c9 \uc624\ub958',
		schedule: '\uc8fc\uae30', lastRun: '\ub9c8\uc9c0\ub9c9 \uc2e4\ud589', rows: '\ud589', backlog: '\ub0a8\uc740 \uc791\uc5c5', failures: '\ub204\uc801 \uc2e4\ud328',
		nothing: '\uc5c6\uc74c', none: '\uc5c6\uc74c', shop: '\uc0c1\uc810 \uc9c1\uc601', soldOut: '\ud488\uc808', upTo: n => `${n}+`, days: n => `${n}\uc77c`, most: '\ucd5c\ub300', latest: '\ucd5c\uadfc',
		minuteOf: (n, time) => `${time} \uc8fc\ubb38 ${n}\uac74`, dayOf: (n, day) => `${day} ${n}\uac1c`,
		kinds: {
			RETURNS: '\ubc18\ud488', EXCHANGES: '\uad50\ud658', CANCELLATIONS: '\uc2b9\uc778\ud560 \ucde8\uc18c', UNPAID_ORDERS: '\uacb0\uc81c\ub97c \uae30\ub2e4\ub9ac\ub294 \uc8fc\ubb38', OVERDUE_ORDERS: '\uacb0\uc81c \uc2dc\uac04\uc774 \uc9c0\ub09c \uc8fc\ubb38',
			REFUNDS: '\uacb0\uc81c\uc0ac\uc758 \ub2f5\uc744 \uae30\ub2e4\ub9ac\ub294 \ud658\ubd88', FAILED_REFUNDS: '\uc2e4\ud328\ud55c \ud658\ubd88', UNEXPECTED_PAYMENTS: '\uc694\uccad\ud558\uc9c0 \uc54a\uc740 \uacb0\uc81c',
			DEAD_LETTERS: '\uc804\ub2ec\uc744 \ud3ec\uae30\ud55c \uc774\ubca4\ud2b8', DEAD_PAYMENT_RESULTS: '\ucc98\ub9ac\ub97c \ud3ec\uae30\ud55c \uacb0\uc81c \uacb0\uacfc',
		},
		states: { OK: '\uc815\uc0c1', FAILED: '\uc2e4\ud328', OVERDUE: '\uc9c0\uc5f0', NEVER: '\uc2e4\ud589\ub41c \uc801 \uc5c6\uc74c', DELIVERING: '\uc804\ub2ec \uc911', WAITING: '\ub9b4\ub808\uc774 \uc5c6\uc74c', PAUSED: '\uba48\ucda4', PULLED: '\ud074\ub77c\uc774\uc5b8\ud2b8\uac00 \uac00\uc838\uac10' },
		areas: { jobs: '\uc791\uc5c5', worker: '\uc77c\uafbc \ud504\ub85c\uc138\uc2a4', delivery: '\uc804\ub2ec', horizon: '\uc624\ub798\ub41c \ud2b8\ub79c\uc7ad\uc158', books: '\uc7a5\ubd80' },
		jobsGood: n => `${n}\uac1c\uac00 \uc81c\ub54c \uc2e4\ud589\ub428`, workerStates: {
			WORKING: '\uc791\ub3d9 \uc911', IDLE: '\uc26c\ub294 \uc911, \uc2a4\uc2a4\ub85c \uc2dc\uc791\ud568', OFF: '\uc774 \ub370\uc774\ud130\ubca0\uc774\uc2a4\uc5d0\uc11c \uaebc\uc9d0', READ_ONLY: '\uc77d\uae30 \uc804\uc6a9\uc774\ub77c \uc27c', SUBSCRIBER: '\uc8fc\ubb38\uc744 \ubcf5\uc81c\ubc1b\ub294 \uacf3\uc774\ub77c \uc27c', NO_SLOT: '\uc774 \ub370\uc774\ud130\ubca0\uc774\uc2a4\uc758 \uc790\ub9ac\uac00 \uc5c6\uc74c',
		},
		noWorker: '\uc5c6\uc74c, \uc791\uc5c5\uc774 \ub300\uc2e0\ud568', byWorker: '\uc77c\uafbc \ud504\ub85c\uc138\uc2a4\uac00 \ud568', deliveryGood: n => n ? `\uad6c\ub3c5 ${n}\uac1c, \ubc00\ub9b0 \uac83 \uc5c6\uc74c` : '\uad6c\ub3c5 \uc5c6\uc74c', horizonGood: '\ub9c9\uace0 \uc788\ub294 \uac83 \uc5c6\uc74c', horizonYoung: since => `\uac00\uc7a5 \uc624\ub798\ub41c \uac83 ${since}`,
		checkBooks: '\uc9c0\uae08 \uc7a5\ubd80 \uac80\uc0ac', checkCosts: '\ubaa8\ub4e0 \uac83\uc744 \uc77d\uc73c\ubbc0\ub85c \uba87 \ucd08\uac00 \uac78\ub9ac\uace0, \ud070 \uc0c1\uc810\uc5d0\uc11c\ub294 \uc5ec\uae30\uc11c \ud558\uae30\uc5d0 \ub108\ubb34 \uae41\ub2c8\ub2e4.', checking: '\uac80\uc0ac \uc911 \u2026', unchecked: '\uc5ec\uae30\uc11c \uac80\uc0ac\ud558\uc9c0 \uc54a\uc74c',
		booksGood: time => `\ub9de\uc74c, ${time} \uac80\uc0ac`, booksBad: list => `\ud2c0\ub9bc: ${list}`, booksFailed: why => `\uac80\uc0ac\ud558\uc9c0 \ubabb\ud568: ${why}. SELECT * FROM commerce.check_invariants()\ub294 \ub05d\uae4c\uc9c0 \ud569\ub2c8\ub2e4.`,
		since: time => `${time}\ubd80\ud130`,
		problem: {
			REBASING: () => ['\ub2e4\ub978 \uc11c\ubc84\uc5d0\uc11c \uc628 \ub370\uc774\ud130\ub97c \uc774 \uc11c\ubc84\uc758 \uac83\uc73c\ub85c \ub9cc\ub4dc\ub294 \uc911\uc785\ub2c8\ub2e4. \ub05d\ub0a0 \ub54c\uae4c\uc9c0 \uc8fc\ubb38\uc744 \ubc1b\uc9c0 \uc54a\uc2b5\ub2c8\ub2e4.', '\uc800\uc808\ub85c \uc9c4\ud589\ub429\ub2c8\ub2e4. \uc11c\ubc84 \ub85c\uadf8\uc5d0 \uc9c4\ud589 \uc0c1\ud669\uc774 \uc788\uc2b5\ub2c8\ub2e4.'],
			BOOKS_WRONG: p => [`\uc7a5\ubd80\uac00 \ub9de\uc9c0 \uc54a\uc2b5\ub2c8\ub2e4: ${p.subject}.`, 'SELECT * FROM commerce.scrub\uc5d0\uc11c \uc704\uce58\ub97c \ud655\uc778\ud558\uc138\uc694.'],
			FOREIGN_COLUMNS: p => [`commerce\uc758 \uac83\uc774 \uc544\ub2cc \uc5f4\uc774 \uc788\uc2b5\ub2c8\ub2e4: ${p.subject}.`, '\ub364\ud504\ub97c \ubcf5\uc6d0\ud558\ub824\uba74 \uc774 \uc5f4\uc774 \ud544\uc694\ud569\ub2c8\ub2e4: docs/dumps.md.'],
			EMPTY_PUBLICATIONS: p => [`\uac8c\uc2dc\ud558\ub294 \ud14c\uc774\ube14\uc774 \uc5c6\ub294 publication: ${p.subject}.`, '\ubcf5\uc6d0\ud55c \ub4a4\uc5d0\ub294 \ud14c\uc774\ube14\uc744 \ub2e4\uc2dc \ucd94\uac00\ud574\uc57c \ud569\ub2c8\ub2e4: docs/dumps.md.'],
			JOBS_OVERDUE: p => [`\uc791\uc5c5 ${p.count}\uac1c\uac00 \uc81c\ub54c \uc2e4\ud589\ub418\uc9c0 \uc54a\uc558\uc2b5\ub2c8\ub2e4: ${p.subject}.`, 'pg_cron\uc774 \uc791\ub3d9\ud558\uace0 \uc811\uc18d\ud560 \uc218 \uc788\ub098\uc694? cron.job_run_details\uc5d0 \ub098\uc635\ub2c8\ub2e4. SELECT commerce.schedule_jobs()\uac00 \uc791\uc5c5\uc744 \ub2e4\uc2dc \ub4f1\ub85d\ud569\ub2c8\ub2e4.'],
			JOB_FAILED: p => [`\uc791\uc5c5 ${p.subject}\uc774(\uac00) \uc2e4\ud328\ud588\uc2b5\ub2c8\ub2e4: ${p.detail}`, '\ub2e4\uc74c \ucc28\ub840\uc5d0 \ub2e4\uc2dc \ud569\ub2c8\ub2e4. \uc11c\ubc84 \ub85c\uadf8\uc5d0 \ub354 \uc788\uc2b5\ub2c8\ub2e4.'],
			JOBS_NOT_SCHEDULED: p => [`\uc791\uc5c5 ${p.count}\uac1c\uac00 \ud55c \ubc88\ub3c4 \uc2e4\ud589\ub418\uc9c0 \uc54a\uc558\uc2b5\ub2c8\ub2e4: ${p.subject}.`, 'pg_cron\uc5d0 \ub4f1\ub85d\ub41c \uc791\uc5c5\uc740 \uc815\ud574\uc9c4 \ubd84\uc5d0 \uc2e4\ud589\ub429\ub2c8\ub2e4. \ub4f1\ub85d\ub418\uc9c0 \uc54a\uc740 \uc791\uc5c5\uc740 SELECT commerce.schedule_jobs()\uac00 \ub4f1\ub85d\ud569\ub2c8\ub2e4.'],
			NO_WORKER: () => ['\uc774 \ub370\uc774\ud130\ubca0\uc774\uc2a4\ub97c \ub3cc\ubcfc \uc77c\uafbc \ud504\ub85c\uc138\uc2a4\uc758 \uc790\ub9ac\uac00 \uc5c6\uc2b5\ub2c8\ub2e4.', 'commerce.maintenance_databases\ub97c \ub298\ub9ac\uace0 \uc11c\ubc84\ub97c \ub2e4\uc2dc \uc2dc\uc791\ud558\uc138\uc694.'],
			OVERDUE_ORDERS: p => [`\uacb0\uc81c \uc2dc\uac04\uc774 \uc9c0\ub0ac\ub294\ub370\ub3c4 \uc7ac\uace0\ub97c \uc7a1\uace0 \uc788\ub294 \uc8fc\ubb38\uc774 ${p.count}\uac74 \uc788\uc2b5\ub2c8\ub2e4.`, '\uc77c\uafbc \ud504\ub85c\uc138\uc2a4\ub3c4 \uc791\uc5c5 expire-pending-orders\ub3c4 \ub05d\ub0b4\uc9c0 \uc54a\uace0 \uc788\uc2b5\ub2c8\ub2e4. \uc11c\ubc84 \ub85c\uadf8\ub97c \ubcf4\uc138\uc694.'],
			DEAD_LETTERS: p => [`\uc774\ubca4\ud2b8 ${p.count}\uac74\uc758 \uc804\ub2ec\uc744 \ud3ec\uae30\ud588\uc2b5\ub2c8\ub2e4.`, '\uae4c\ub2ed\uc740 commerce.dead_letters\uc5d0 \uc788\uc2b5\ub2c8\ub2e4. redeliver()\ub85c \ub2e4\uc2dc \ubcf4\ub0b4\uac70\ub098 discard_dead_letters()\ub85c \ubc84\ub9bd\ub2c8\ub2e4.'],
			DEAD_PAYMENT_RESULTS: p => [`\uacb0\uc81c \uacb0\uacfc ${p.count}\uac74\uc744 \ucc98\ub9ac\ud558\uc9c0 \ubabb\ud588\uc2b5\ub2c8\ub2e4.`, 'commerce_private.parked_payment_results\uc5d0 \uc624\ub958\uc640 \ud568\uaed8 \uc788\uc2b5\ub2c8\ub2e4.'],
			NO_RELAY: p => [`${p.subject}\uc744(\ub97c) \uc804\ub2ec\ud558\ub294 \ub9b4\ub808\uc774\uac00 \uc5c6\uc2b5\ub2c8\ub2e4.`, 'commerce-relay\uac00 \uc791\ub3d9\ud558\uace0 \ube44\ubc00 \uac12\uc744 \uac16\uace0 \uc788\ub098\uc694? \ub9b4\ub808\uc774 \ub85c\uadf8\uc5d0 \ub098\uc635\ub2c8\ub2e4.'],
			DELIVERY_FAILS: p => [`${p.subject}\uc5d0 \uc804\ub2ec\ud558\uc9c0 \ubabb\ud558\uace0 \uc788\uc2b5\ub2c8\ub2e4: ${p.detail}`, '\ub2e4\uc2dc \uc2dc\ub3c4\ud569\ub2c8\ub2e4.'],
			SUBSCRIPTION_BEHIND: p => [`${p.subject}\uc774(\uac00) \ubc00\ub824 \uc788\uc2b5\ub2c8\ub2e4.`, '\ubc1b\ub294 \ucabd\uc774 \ub290\ub9ac\uac70\ub098 \uc5c6\uac70\ub098, \uc624\ub798\ub41c \ud2b8\ub79c\uc7ad\uc158\uc774 \uc774\ubca4\ud2b8\ub97c \ub9c9\uace0 \uc788\uc2b5\ub2c8\ub2e4.'],
			SUBSCRIPTION_PAUSED: p => [`${p.subject}\uc774(\uac00) \uba48\ucdb0 \uc788\uc2b5\ub2c8\ub2e4${p.detail ? `: ${p.detail}` : ''}.`, 'resume_subscription()\uc73c\ub85c \ub2e4\uc2dc \uc2dc\uc791\ud569\ub2c8\ub2e4. \uadf8\ub3d9\uc548\uc758 \uc774\ubca4\ud2b8\ub294 \ubcf4\uad00\ub429\ub2c8\ub2e4.'],
			OUTBOX_HELD: p => [`${p.subject} \ub54c\ubb38\uc5d0 \uc624\ub798\ub41c \uc774\ubca4\ud2b8\ub97c \uc9c0\uc6b0\uc9c0 \ubabb\ud569\ub2c8\ub2e4.`, '\ub530\ub77c\uc7a1\uac8c \ud558\uac70\ub098, seek_subscription() \ub610\ub294 unsubscribe()\ub85c \ud3ec\uae30\ud558\uc138\uc694.'],
			HORIZON_HELD: p => [`\uc624\ub798\ub41c \ud2b8\ub79c\uc7ad\uc158\uc774 \uc774\ubca4\ud2b8\uc640 \uc811\uae30\ub97c \ub9c9\uace0 \uc788\uc2b5\ub2c8\ub2e4: ${p.detail}, ${p.subject}.`, '\uc138\uc158\uc740 pg_terminate_backend(), \uc900\ube44\ub41c \ud2b8\ub79c\uc7ad\uc158\uc740 ROLLBACK PREPARED\ub85c \ub05d\ub0c5\ub2c8\ub2e4.'],
			CONVERSION_LOW: p => [`\uacb0\uc81c\uae4c\uc9c0 \uac00\ub294 \uc8fc\ubb38\uc11c\uac00 \uc801\uc2b5\ub2c8\ub2e4: \ucd5c\uadfc ${p.detail}.`, '\uad6c\ub9e4\uc790\uac00 \uacb0\uc81c\ud560 \uc218 \uc788\ub098\uc694? \uacb0\uc81c\uc0ac\uc5d0 \ubb38\uc81c\uac00 \uc5c6\ub098\uc694?'],
			DIRECT_CHARGE: () => ['commerce.direct_charge\uac00 \ucf1c\uc838 \uc788\uc5b4, REST\ub85c \uad6c\ub9e4\uc790\uac00 \ub3c8\uc744 \ub0b4\uc9c0 \uc54a\uace0 \uc794\uc561\uc744 \ucda9\uc804\ud560 \uc218 \uc788\uc2b5\ub2c8\ub2e4.', '\uc2dc\uc5f0\uc5d0\ub294 \uad1c\ucc2e\uc2b5\ub2c8\ub2e4. \uacb0\uc81c\uc0ac\uac00 \ub3c8\uc744 \ubc1b\ub294 \uacf3\uc5d0\uc11c\ub294 \ub044\uc138\uc694.'],
		},
	},
};
// The operator's page: asks shop_status every few seconds with the token that was typed in, and shows it. What comes from the shop is
// set as text, never as HTML. The page stands in its HTML; here it is filled, and only what has changed.

const interval = 5000;
const patience = 10000;
const $ = id => document.getElementById(id);

let token = sessionStorage.getItem('commerce.token');
let language = sessionStorage.getItem('commerce.language') || (/^ko\b/.test(navigator.language) ? 'ko' : 'en');
let t = texts[language];
let status = null; // the last answer
let gone = null; // why there is none: a key of the texts, or a text
let books = { state: 'unchecked' };
let timer;

// Texts

const problemAreas = {
	JOBS_OVERDUE: 'jobs', JOB_FAILED: 'jobs', JOBS_NOT_SCHEDULED: 'jobs',
	NO_WORKER: 'worker', OVERDUE_ORDERS: 'worker', REBASING: 'worker',
	NO_RELAY: 'delivery', DELIVERY_FAILS: 'delivery', SUBSCRIPTION_BEHIND: 'delivery', SUBSCRIPTION_PAUSED: 'delivery', DEAD_LETTERS: 'delivery', DEAD_PAYMENT_RESULTS: 'delivery', OUTBOX_HELD: 'delivery',
	HORIZON_HELD: 'horizon',
	BOOKS_WRONG: 'books',
};
const counted = 10000; // shop_status counts no further

const number = n => n === null ? '\u2013' : n.toLocaleString(language);
const upTo = n => n >= counted ? t.upTo(number(counted)) : number(n);
function money(amount) {
	const { code, decimals } = status.currency;
	return new Intl.NumberFormat(language, { style: 'currency', currency: code, minimumFractionDigits: decimals, maximumFractionDigits: decimals }).format(amount / 10 ** decimals);
}
function format(moment, options) {
	return new Intl.DateTimeFormat(language, { timeZone: status?.timezone, ...options }).format(new Date(moment));
}
const clock = moment => format(moment, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const at = moment => format(moment, { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
function duration(seconds) {
	const [unit, size] = [['day', 86400], ['hour', 3600], ['minute', 60], ['second', 1]].find(([, s]) => Math.abs(seconds) >= s) ?? ['second', 1];
	return { unit, amount: Math.round(seconds / size) };
}
function lasting(seconds) {
	const { unit, amount } = duration(seconds);
	return new Intl.NumberFormat(language, { style: 'unit', unit, unitDisplay: 'short' }).format(amount);
}
function ago(moment) {
	const { unit, amount } = duration((new Date(moment) - new Date(status.as_of)) / 1000);
	return new Intl.RelativeTimeFormat(language, { style: 'short' }).format(amount, unit);
}
const when = moment => moment ? `${ago(moment)} \u00b7 ${at(moment)}` : '\u2013';

// Elements

function element(tag, text, style) {
	const e = document.createElement(tag);
	if (text !== undefined) e.textContent = text;
	if (style) e.className = style;
	return e;
}
// Replaces what is in an element, unless it would be the same: a screen reader, a selection and a focus stay where they are.
function fill(parent, children) {
	if (parent.childElementCount === children.length && children.every((child, i) => child.isEqualNode(parent.children[i]))) return;
	parent.replaceChildren(...children);
}
function say(id, text, style = '') {
	if ($(id).textContent !== text) $(id).textContent = text;
	$(id).className = style;
}
const marked = (level, text) => `${{ good: '\u2713', warning: '!', bad: '\u2717' }[level]} ${text}`;

// columns: [key of the title, row => text, style or row => style]
function table(id, rows, columns) {
	const styled = (style, row) => (typeof style === 'function' ? style(row) : style) || '';
	const part = (tag, role, text, style) => {
		const e = element(tag, text, style);
		e.setAttribute('role', role);
		return e;
	};
	const titles = part('tr', 'row');
	for (const [title, , style] of columns) titles.append(part('th', 'columnheader', t[title], styled(style, {}).startsWith('number') ? 'number' : ''));
	fill($(id).parentElement.tHead, [titles]);
	const lines = rows.map(row => {
		const tr = part('tr', 'row');
		for (const [title, value, style] of columns) {
			const td = part('td', 'cell', value(row), styled(style, row));
			if (td.textContent === '\u2013') td.classList.add('none');
			td.dataset.title = t[title];
			tr.append(td);
		}
		return tr;
	});
	if (!rows.length) {
		const tr = part('tr', 'row'), td = part('td', 'cell', t.nothing, 'nothing');
		td.colSpan = columns.length;
		tr.append(td);
		lines.push(tr);
	}
	fill($(id), lines);
}
function list(id, entries) {
	fill($(id), entries.map(([title, value, style]) => {
		const d = element('div');
		d.append(element('dt', title), element('dd', value, style));
		return d;
	}));
}

// Bars with axes: titles(i) is what the i-th says, ticks are the ones that are named below the axis.
function chart(id, values, titles, ticks, label) {
	const width = Math.max($(id).clientWidth, 240), height = 190, left = 46, right = 12, top = 10, bottom = 24;
	const most = Math.max(...values.map(v => v ?? 0));
	const power = 10 ** Math.floor(Math.log10(Math.max(most, 1)));
	const scale = Math.max(2, [1, 2, 4, 6, 8, 10].map(n => n * power).find(n => n >= most));
	const draw = (name, attributes, text) => {
		const e = document.createElementNS('http://www.w3.org/2000/svg', name);
		for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
		if (text !== undefined) e.textContent = text;
		return e;
	};
	const y = value => top + (height - top - bottom) * (1 - value / scale);
	const step = (width - left - right) / values.length;
	const svg = draw('svg', { role: 'img', 'aria-label': label, viewBox: `0 0 ${width} ${height}` });
	for (const value of [0, scale / 2, scale]) {
		svg.append(draw('line', { x1: left, x2: width - right, y1: y(value), y2: y(value), class: value ? '' : 'axis' }),
			draw('text', { x: left - 6, y: y(value) + 4, 'text-anchor': 'end' }, number(value)));
	}
	svg.append(draw('line', { x1: left, x2: left, y1: top, y2: y(0), class: 'axis' }));
	values.forEach((value, i) => {
		if (!value) return;
		const bar = draw('rect', { x: left + i * step + step * 0.1, y: y(value), width: step * 0.8, height: y(0) - y(value) });
		bar.append(draw('title', {}, titles(i)));
		svg.append(bar);
	});
	for (const [i, text] of ticks) {
		const x = left + (i + 0.5) * step;
		svg.append(draw('line', { x1: x, x2: x, y1: y(0), y2: y(0) + 4, class: 'axis' }),
			draw('text', { x, y: height - 6, 'text-anchor': x > width - 30 ? 'end' : x < left + 20 ? 'start' : 'middle' }, text));
	}
	fill($(id), [svg]);
}
const few = (values, most) => { const every = Math.ceil(values.length / most); return values.filter((_, i) => (values.length - 1 - i) % every === 0); };

// The page

function showProblems(problems) {
	$('problems-section').hidden = !problems.length;
	fill($('problems'), problems.map(p => {
		const level = p.bad ? 'bad' : 'warning';
		const [what, todo] = t.problem[p.code]?.({ ...p, count: p.count && upTo(p.count) }) ?? [[p.code, p.subject, p.detail].filter(Boolean).join(' '), ''];
		const li = element('li', marked(level, what), level);
		li.append(element('p', [p.since && t.since(when(p.since)), todo].filter(Boolean).join('. ')));
		return li;
	}));
}

function showHealth(s) {
	const level = area => {
		const its = s.problems.filter(p => problemAreas[p.code] === area);
		return its.some(p => p.bad) ? 'bad' : its.length ? 'warning' : 'good';
	};
	const counts = area => t.verdict(...[true, false].map(bad => s.problems.filter(p => problemAreas[p.code] === area && p.bad === bad).length));
	const good = {
		jobs: t.jobsGood(s.jobs.filter(j => j.state === 'OK').length),
		worker: s.worker ? t.workerStates[s.worker] ?? s.worker : t.noWorker,
		delivery: t.deliveryGood(s.subscriptions.length),
		horizon: s.horizon?.since ? t.horizonYoung(ago(s.horizon.since)) : t.horizonGood,
	};
	const entries = Object.keys(good).map(area => {
		const l = level(area);
		return [t.areas[area], marked(l, l === 'good' ? good[area] : counts(area)), l];
	});
	const scrubbed = level('books');
	entries.push([t.areas.books, {
		unchecked: () => scrubbed === 'good' ? t.unchecked : marked(scrubbed, counts('books')), checking: () => t.checking,
		good: () => marked('good', t.booksGood(at(books.at))),
		bad: () => marked('bad', t.booksBad(books.violations.map(v => `${v.invariant} (${number(v.violations)})`).join(', '))),
		failed: () => marked('warning', t.booksFailed(books.why)),
	}[books.state](), { good: 'good', bad: 'bad', failed: 'warning' }[books.state] ?? (scrubbed === 'good' ? 'quiet' : scrubbed)]);
	list('health', entries);
}

function showCharts(s) {
	const minutes = s.orders.per_minute.map((_, i) => Date.parse(s.as_of) - (59 - i) * 60000);
	chart('per-minute', s.orders.per_minute, i => t.minuteOf(number(s.orders.per_minute[i]), clock(minutes[i])),
		few(minutes.map((m, i) => [i, clock(m)]), $('per-minute').clientWidth < 420 ? 4 : 7),
		`${t.ordersPerMinute}. ${t.most} ${number(Math.max(...s.orders.per_minute))}, ${t.latest} ${number(s.orders.per_minute[59])}`);
	const units = s.units_per_day.map(d => d.units);
	const day = i => new Intl.DateTimeFormat(language, { month: 'numeric', day: 'numeric', timeZone: 'UTC' }).format(new Date(s.units_per_day[i].day));
	chart('per-day', units, i => t.dayOf(number(units[i]), day(i)), few(units.map((_, i) => [i, day(i)]), $('per-day').clientWidth < 420 ? 4 : 7),
		`${t.unitsPerDay}. ${t.most} ${number(Math.max(...units))}, ${t.latest} ${number(units[13])}`);
}

function showStatus(s) {
	showProblems(s.problems);
	showHealth(s);
	const urgent = ['OVERDUE_ORDERS', 'FAILED_REFUNDS', 'UNEXPECTED_PAYMENTS', 'DEAD_LETTERS', 'DEAD_PAYMENT_RESULTS'];
	table('waiting', s.waiting.filter(w => w.count), [
		['kind', w => t.kinds[w.kind] ?? w.kind],
		['count', w => urgent.includes(w.kind) ? marked('bad', upTo(w.count)) : upTo(w.count), w => urgent.includes(w.kind) ? 'number bad' : 'number'],
		['oldest', w => w.oldest ? ago(w.oldest) : '\u2013', 'time']]);
	table('running-out', s.running_out, [
		['product', r => r.name, 'long'], ['seller', r => r.seller_name ?? t.shop, 'long'], ['stock', r => number(r.stock), 'number'],
		['lasts', r => r.stock ? t.days(number(Math.round(r.lasts_days * 10) / 10)) : marked('bad', t.soldOut), r => r.stock ? 'time' : 'time bad']]);
	table('popular', s.popular_products, [
		['product', r => r.name, 'long'], ['price', r => money(r.price_now), 'number'], ['units', r => number(r.units_sold), 'number']]);
	say('orders-title', t.ordersSince(at(s.orders.since)));
	list('orders', [[t.placed, number(s.orders.placed)], [t.paid, number(s.orders.paid)], [t.revenue, money(s.orders.revenue)], [t.refunded, money(s.orders.refunded)],
		[t.sheets, number(s.sheets.last_hour)], [t.conversion, s.sheets.last_hour ? `${Math.round(100 * s.sheets.ordered / s.sheets.last_hour)} %` : '\u2013']]);
	showCharts(s);
	table('subscriptions', s.subscriptions, [
		['name', r => r.name, 'long'], ['state', r => t.states[r.state] ?? r.state, r => ({ WAITING: 'bad', PAUSED: 'warning' })[r.state]], ['destination', r => r.destination ?? '\u2013', 'long'],
		['lag', r => upTo(r.lag_events), 'number'], ['late', r => lasting(r.lag_seconds), r => r.lag_seconds > 300 ? 'number warning' : 'number'], ['parked', r => number(r.parked), 'number'],
		['dead', r => number(r.dead_letters), r => r.dead_letters ? 'number bad' : 'number'], ['lastSuccess', r => when(r.last_success_at), 'time'],
		['lastError', r => r.last_error ? `${when(r.last_error_at)} \u00b7 ${r.last_error}` : '\u2013', 'long']]);
	const byWorker = r => r.state === 'NEVER' && ['WORKING', 'IDLE'].includes(s.worker) && ['fold', 'expire-pending-orders'].includes(r.name);
	table('jobs', s.jobs, [
		['name', r => r.name, 'long'], ['state', r => byWorker(r) ? t.byWorker : t.states[r.state] ?? r.state, r => byWorker(r) ? '' : { OVERDUE: 'bad', FAILED: 'bad', NEVER: 'warning' }[r.state]], ['schedule', r => r.schedule, 'time'],
		['lastRun', r => when(r.last_finished_at), 'time'], ['rows', r => number(r.last_rows), 'number'], ['backlog', r => r.backlog === null ? '\u2013' : number(r.backlog), 'number'], ['failures', r => number(r.failures), 'number'],
		['lastError', r => r.last_error ? `${when(r.last_error_at)} \u00b7 ${r.last_error}` : '\u2013', 'long']]);
	list('escrow', [[t.counters, number(s.escrow.counters)], [t.inFlight, number(s.escrow.in_flight)], [t.waiters, number(s.escrow.waiters), s.escrow.waiters ? 'warning' : '']]);
}

function showAll() {
	document.documentElement.lang = language;
	for (const e of document.querySelectorAll('[data-text]')) if (e.textContent !== t[e.dataset.text]) e.textContent = t[e.dataset.text];
	for (const e of document.querySelectorAll('[data-label]')) e.setAttribute('aria-label', t[e.dataset.label]);
	for (const e of document.querySelectorAll('[data-language]')) e.setAttribute('aria-pressed', e.dataset.language === language);
	$('login').hidden = Boolean(token);
	$('forget').hidden = !token;
	$('main').hidden = !status;
	$('gone').hidden = !gone;
	$('check').disabled = books.state === 'checking' || Boolean(gone);
	document.body.className = gone ? 'gone' : '';
	say('gone', gone ? t.gone(status ? at(status.as_of) : t.never, t[gone] ?? gone) : '', 'alarm');
	if (status) showStatus(status);
	const bad = status?.problems.filter(p => p.bad).length, warnings = status?.problems.length - bad;
	const level = gone || bad ? 'bad' : warnings ? 'warning' : 'good';
	say('verdict', gone ? marked('bad', t.goneTitle) : status ? marked(level, t.verdict(bad, warnings)) : '', level);
	say('as-of', status ? t.asOf(at(status.as_of), status.version) : '');
	document.title = ($('verdict').textContent ? `${$('verdict').textContent} \u00b7 ` : '') + 'commerce';
}

// The server

async function ask(name) {
	try {
		const response = await fetch(name, { headers: { Authorization: `Bearer ${token}`, Accept: 'application/json', 'Accept-Language': language }, cache: 'no-store', referrerPolicy: 'no-referrer', signal: AbortSignal.timeout(patience) });
		const body = await response.json();
		return { code: response.status, data: response.ok ? body.data : undefined, why: [body.message, body.details].filter(x => typeof x === 'string').join(': ') };
	} catch (error) {
		return { code: 0, why: error.name === 'TimeoutError' ? 'timeout' : error.name === 'SyntaxError' ? 'wrongAnswer' : 'noAnswer' };
	}
}

function forget(why) {
	clearTimeout(timer);
	sessionStorage.removeItem('commerce.token');
	[token, status, gone, books] = [null, null, null, { state: 'unchecked' }];
	for (const e of document.querySelectorAll('tbody, #problems, dl, .chart, #orders-title')) e.replaceChildren();
	showAll();
	$('why').textContent = why;
	$('token').focus();
}

async function load() {
	clearTimeout(timer);
	const asked = token;
	const answer = await ask('shop_status');
	if (asked !== token) return;
	if (answer.code === 401) return forget(t.tokenEnded(answer.why));
	if (answer.code === 403) return forget(t.notAdmin(answer.why));
	if (answer.data?.as_of) {
		[status, gone] = [answer.data, null];
		sessionStorage.setItem('commerce.token', token);
	} else {
		gone = answer.why || 'wrongAnswer';
	}
	const first = $('main').hidden;
	showAll();
	if (first) $('main').focus(); // it was in the form that is gone now
	timer = setTimeout(load, interval);
}

$('login').addEventListener('submit', event => {
	event.preventDefault();
	const given = $('token').value.trim();
	$('token').value = '';
	if (!/^[\w.~+/=-]+$/.test(given)) {
		$('why').textContent = t.noToken;
		return;
	}
	$('why').textContent = '';
	token = given;
	showAll();
	load();
});
$('forget').addEventListener('click', () => forget(''));
$('check').addEventListener('click', async () => {
	const asked = token;
	books = { state: 'checking' };
	showAll();
	const answer = await ask('check_invariants');
	if (asked !== token) return;
	if (!Array.isArray(answer.data)) books = { state: 'failed', why: t[answer.why] ?? answer.why };
	else books = { state: answer.data.length ? 'bad' : 'good', violations: answer.data, at: Date.now() };
	showAll();
});
for (const e of document.querySelectorAll('[data-language]')) {
	e.addEventListener('click', () => {
		language = e.dataset.language;
		t = texts[language];
		sessionStorage.setItem('commerce.language', language);
		showAll();
	});
}
addEventListener('resize', () => status && showCharts(status));

showAll();
if (location.hash) {
	// what somebody put there, a token perhaps, stays in no history
	history.replaceState(null, '', location.pathname);
	if (!token) $('why').textContent = t.tokenInAddress;
}
if (token) load();
else $('token').focus();
$web$
$function$;
COMMENT ON FUNCTION commerce_private.operator_page() IS 'the operator''s page: its HTML, and the style and the script that belong into it';

-- The page holds nothing of the shop: it asks rpc/shop_status with the operator's own token.
CREATE FUNCTION commerce_api.operator()
RETURNS commerce_api."text/html"
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	page record;
BEGIN
	SELECT * INTO page FROM commerce_private.operator_page();
	PERFORM commerce_private.set_headers(pg_catalog.jsonb_build_object(
		'Content-Type', 'text/html; charset=utf-8',
		'Cache-Control', 'no-store',
		'X-Content-Type-Options', 'nosniff',
		'Referrer-Policy', 'no-referrer',
		'Cross-Origin-Opener-Policy', 'same-origin',
		'Content-Security-Policy', pg_catalog.format('default-src ''none''; connect-src ''self''; style-src %s; script-src %s; base-uri ''none''; form-action ''none''; '
			'frame-ancestors ''none''; require-trusted-types-for ''script''; trusted-types ''none''',
			commerce_private.csp_hash(page.style), commerce_private.csp_hash(page.script))));
	RETURN pg_catalog.replace(pg_catalog.replace(pg_catalog.ltrim(page.html, E'\n'), '<style></style>', '<style>' || page.style || '</style>'),
		'<script></script>', '<script>' || page.script || '</script>');
END
$$;
COMMENT ON FUNCTION commerce_api.operator() IS 'a page that shows the state of the shop to an administrator';

-- Made once, when the extension is created or updated: half a second's work, for anybody who asks. The install script
-- calls it, and each update script, since the document says the version.
CREATE FUNCTION commerce_private.describe_api()
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	ALTER TABLE commerce_private.api_calls DISABLE TRIGGER commerce_refuse_write;
	DELETE FROM commerce_private.api_calls;
	INSERT INTO commerce_private.api_calls
	SELECT e.name, e.roles, e.reads, e.keyed, e.result, e.completion, e.location,
		   coalesce(a.arguments, '{}'), coalesce(a.sources, '{}'), coalesce(a.asked, '{}'), coalesce(a.required, '{}')
	FROM commerce_private.api_endpoints e
	LEFT JOIN (SELECT a.endpoint, pg_catalog.array_agg(a.argument::text ORDER BY a.position) AS arguments,
					  pg_catalog.array_agg(a.source::text ORDER BY a.position) AS sources, pg_catalog.array_agg(a.asked ORDER BY a.position) AS asked,
					  pg_catalog.array_agg(a.required ORDER BY a.position) AS required
			   FROM commerce_private.api_arguments a GROUP BY a.endpoint) a ON a.endpoint = e.name;
	ALTER TABLE commerce_private.api_calls ENABLE TRIGGER commerce_refuse_write;
	DELETE FROM commerce_private.api_document;
	INSERT INTO commerce_private.api_document (document, in_order)
	SELECT d.in_order::jsonb, d.in_order FROM commerce_private.build_openapi() AS d (in_order);
END
$$;
COMMENT ON FUNCTION commerce_private.describe_api() IS 'makes what calls over REST are described by, and the OpenAPI document, anew: for the install and update scripts';
SELECT commerce_private.describe_api();

-- sql/install/base/dumps.sql

-- Dumps: what pg_dump leaves out of an extension's tables. It has their rows, and takes all else of them to come from
-- CREATE EXTENSION: a column, an index, a policy that somebody has added is not in the dump. What is the extension's own
-- is recorded here, at the end of the script.

CREATE TABLE commerce_private.own_parts (
	relation regclass NOT NULL,
	kind     text NOT NULL,
	name     text NOT NULL,
	PRIMARY KEY (relation, kind, name)
);
COMMENT ON TABLE commerce_private.own_parts IS 'what the extension''s tables are made of. Part of the extension, as its code is: not in a dump';

CREATE VIEW commerce_private.parts AS
	WITH member AS (
		SELECT c.oid AS relation, c.reloptions, c.relreplident, c.relrowsecurity, c.relforcerowsecurity, c.relkind
		FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
		JOIN pg_catalog.pg_extension e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid AND e.extname = 'commerce'
		WHERE c.relkind IN ('r', 'p')
	)
	SELECT m.relation::regclass AS relation, 'column' AS kind, a.attname::text COLLATE "default" AS name,
		   pg_catalog.format('ALTER TABLE %s ADD COLUMN %I %s%s%s%s', m.relation::regclass, a.attname,
			   pg_catalog.format_type(a.atttypid, a.atttypmod),
			   CASE WHEN a.attcollation <> t.typcollation THEN ' COLLATE ' || a.attcollation::regcollation ELSE '' END,
			   CASE WHEN a.attgenerated <> '' THEN ' GENERATED ALWAYS AS (' || pg_catalog.pg_get_expr(f.adbin, f.adrelid) || ') STORED'
					WHEN a.attidentity <> '' THEN ' GENERATED ' || CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END || ' AS IDENTITY'
					WHEN f.adbin IS NOT NULL THEN ' DEFAULT ' || pg_catalog.pg_get_expr(f.adbin, f.adrelid) ELSE '' END,
			   CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END) AS statement
	FROM member m JOIN pg_catalog.pg_attribute a ON a.attrelid = m.relation AND a.attnum > 0 AND NOT a.attisdropped
	JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
	LEFT JOIN pg_catalog.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
	UNION ALL
	SELECT m.relation::regclass, 'index', c.relname::text COLLATE "default", pg_catalog.pg_get_indexdef(i.indexrelid)
	FROM member m JOIN pg_catalog.pg_index i ON i.indrelid = m.relation JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint o WHERE o.conindid = i.indexrelid AND o.contype IN ('p', 'u', 'x'))
	UNION ALL
	SELECT m.relation::regclass, 'constraint', o.conname::text COLLATE "default",
		   pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s', m.relation::regclass, o.conname, pg_catalog.pg_get_constraintdef(o.oid))
	FROM member m JOIN pg_catalog.pg_constraint o ON o.conrelid = m.relation AND o.contype <> 'n'
	UNION ALL
	SELECT m.relation::regclass, 'trigger', g.tgname::text COLLATE "default", pg_catalog.pg_get_triggerdef(g.oid)
	FROM member m JOIN pg_catalog.pg_trigger g ON g.tgrelid = m.relation AND NOT g.tgisinternal
	UNION ALL
	SELECT m.relation::regclass, 'trigger state', (g.tgname::text || ' ' || g.tgenabled::text) COLLATE "default",
		   pg_catalog.format('ALTER TABLE %s %s TRIGGER %I', m.relation::regclass,
			   CASE g.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE' END, g.tgname)
	FROM member m JOIN pg_catalog.pg_trigger g ON g.tgrelid = m.relation AND NOT g.tgisinternal
	UNION ALL
	SELECT m.relation::regclass, 'policy', p.polname::text COLLATE "default",
		   pg_catalog.format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', p.polname, m.relation::regclass,
			   CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
			   CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
			   (SELECT pg_catalog.string_agg(CASE r.role WHEN 0 THEN 'PUBLIC' ELSE r.role::regrole::text END, ', ') FROM pg_catalog.unnest(p.polroles) AS r (role)),
			   ' USING (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')',
			   ' WITH CHECK (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')')
	FROM member m JOIN pg_catalog.pg_policy p ON p.polrelid = m.relation
	-- those of grant_api(), which makes them anew
	WHERE p.polname !~ '^commerce_api_\d+$'
	UNION ALL
	SELECT m.relation::regclass, 'row security', CASE WHEN m.relforcerowsecurity THEN 'FORCED' WHEN m.relrowsecurity THEN 'ENABLED' ELSE 'DISABLED' END,
		   pg_catalog.format('ALTER TABLE %s %s ROW LEVEL SECURITY%s', m.relation::regclass, CASE WHEN m.relrowsecurity THEN 'ENABLE' ELSE 'DISABLE' END,
			   CASE WHEN m.relforcerowsecurity THEN ', FORCE ROW LEVEL SECURITY' END)
	FROM member m
	UNION ALL
	SELECT m.relation::regclass, 'option', o.option_name || '=' || o.option_value,
		   pg_catalog.format('ALTER TABLE %s SET (%s = %L)', m.relation::regclass, o.option_name, o.option_value)
	FROM member m CROSS JOIN LATERAL pg_catalog.pg_options_to_table(m.reloptions) o
	UNION ALL
	SELECT m.relation::regclass, 'replica identity', m.relreplident::text,
		   pg_catalog.format('ALTER TABLE %s REPLICA IDENTITY %s', m.relation::regclass,
			   CASE m.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
				   WHEN 'i' THEN 'USING INDEX ' || (SELECT pg_catalog.quote_ident(c.relname) FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
													WHERE i.indrelid = m.relation AND i.indisreplident)
				   ELSE 'DEFAULT' END)
	FROM member m WHERE m.relkind = 'r'
	UNION ALL
	-- from 18 on a dump has it already
	SELECT m.relation::regclass, 'publication', p.pubname::text COLLATE "default",
		   pg_catalog.format('DO %L', pg_catalog.format('BEGIN IF NOT EXISTS (SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE p.pubname = %L AND r.prrelid = %L::regclass) THEN ALTER PUBLICATION %I ADD TABLE %s%s%s; END IF; END',
			   p.pubname, m.relation::regclass, p.pubname, m.relation::regclass,
			   ' (' || (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
						WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[])) || ')',
			   ' WHERE (' || pg_catalog.pg_get_expr(r.prqual, r.prrelid) || ')'))
	FROM member m JOIN pg_catalog.pg_publication_rel r ON r.prrelid = m.relation JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid;
COMMENT ON VIEW commerce_private.parts IS 'what the extension''s tables consist of, and how each is made';

CREATE FUNCTION commerce_private.list_dump_extras()
RETURNS TABLE (kind text, object text, before_data boolean, statement text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT p.kind, p.relation || ' ' || p.name, p.kind = 'column', p.statement
	FROM commerce_private.parts p
	WHERE NOT EXISTS (SELECT FROM commerce_private.own_parts o WHERE (o.relation, o.kind, o.name) = (p.relation, p.kind, p.name))
	  AND NOT (p.kind = 'trigger state' AND p.name ~ ' O$')
	UNION ALL
	SELECT 'setting', coalesce(r.setrole::regrole::text || ' ', '') || c.name, false,
		   pg_catalog.format('ALTER %s SET %s = %L', CASE WHEN r.setrole IS NULL THEN 'DATABASE :"DBNAME"'
				ELSE 'ROLE ' || r.setrole::regrole || ' IN DATABASE :"DBNAME"' END, c.name, c.value)
	FROM (SELECT nullif(s.setrole, 0) AS setrole, s.setconfig FROM pg_catalog.pg_db_role_setting s
		  JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase WHERE d.datname = pg_catalog.current_database()) r
	CROSS JOIN LATERAL (SELECT pg_catalog.split_part(e, '=', 1) AS name, pg_catalog.substr(e, pg_catalog.strpos(e, '=') + 1) AS value
						FROM pg_catalog.unnest(r.setconfig) AS e) c
	UNION ALL
	SELECT 'REST', 'grant_api()', false,
		   pg_catalog.format('SELECT commerce.grant_api(%L, %L, %L, %L)', a.roles->>'ANONYMOUS', a.roles->>'BUYER', a.roles->>'SELLER', a.roles->>'ADMIN')
	FROM (SELECT pg_catalog.jsonb_object_agg(r.api_role, r.role) AS roles FROM commerce_private.api_roles r) a
	WHERE a.roles ?& '{ANONYMOUS,BUYER,SELLER,ADMIN}'
$$;
COMMENT ON FUNCTION commerce_private.list_dump_extras() IS 'what a dump leaves out, and how it is made again';

CREATE FUNCTION commerce.dump_extras(before_data boolean)
RETURNS SETOF text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF dump_extras.before_data IS NULL THEN
		PERFORM commerce_private.raise_invalid('before_data', 'must not be null');
	END IF;
	RETURN QUERY
	SELECT e.statement || ';' FROM commerce_private.list_dump_extras() e
	WHERE e.before_data = dump_extras.before_data
	-- a foreign key needs its key, a trigger state its trigger, grant_api() everything
	ORDER BY pg_catalog.array_position('{column,option,replica identity,index,constraint,trigger,trigger state,policy,row security,publication,setting,REST}'::text[], e.kind),
			 e.kind = 'constraint' AND e.statement ~ ' FOREIGN KEY ', e.object;
END
$$;
COMMENT ON FUNCTION commerce.dump_extras(boolean) IS
	'statements for psql that make again what pg_dump leaves out of commerce''s tables and of the database: before_data true: columns, which a restored dump needs before its rows; false: indexes, constraints, triggers, policies, storage parameters, members of publications, settings of the database, and grant_api(). docs/dumps.md says when. Errors: INVALID_REQUEST';

CREATE VIEW commerce_private.empty_publications AS
	SELECT p.pubname::text COLLATE "default" AS name FROM pg_catalog.pg_publication p
	WHERE NOT p.puballtables AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid)
	  AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication_namespace n WHERE n.pnpubid = p.oid);
COMMENT ON VIEW commerce_private.empty_publications IS 'publications that publish nothing';

CREATE VIEW commerce_private.foreign_columns AS
	SELECT p.relation, p.name FROM commerce_private.parts p
	WHERE p.kind = 'column'
	  AND NOT EXISTS (SELECT FROM commerce_private.own_parts o WHERE o.relation = p.relation AND o.kind = 'column' AND o.name = p.name);
COMMENT ON VIEW commerce_private.foreign_columns IS 'columns of the extension''s tables that somebody has added';

CREATE VIEW commerce.dump_warnings AS
	SELECT CASE e.kind WHEN 'column' THEN 'COLUMN' WHEN 'publication' THEN 'PUBLICATION' WHEN 'setting' THEN 'SETTING' ELSE 'OTHER' END AS kind,
		   e.kind || ' ' || e.object AS object,
		   CASE e.kind WHEN 'column' THEN 'a dump cannot be restored without it: see dump_extras()'
					   ELSE 'a dump leaves it out: see dump_extras()' END AS detail
	FROM commerce_private.list_dump_extras() e WHERE e.kind <> 'REST'
	UNION ALL
	SELECT 'EMPTY_PUBLICATION', 'publication ' || p.name, 'it has no tables: a dump was restored, or its tables were dropped'
	FROM commerce_private.empty_publications p;
COMMENT ON VIEW commerce.dump_warnings IS
	'what pg_dump leaves out of commerce''s tables and of the database, and publications that have come back empty';
COMMENT ON COLUMN commerce.dump_warnings.kind IS
	'COLUMN: somebody''s own, without which rows do not come back; PUBLICATION; SETTING: of the database; OTHER: an index, a constraint, a trigger, a policy, a storage parameter; EMPTY_PUBLICATION';

INSERT INTO commerce_private.own_parts (relation, kind, name)
SELECT p.relation, p.kind, p.name FROM commerce_private.parts p WHERE p.kind <> 'publication';

-- sql/install/base/privileges.sql

-- Privileges: nothing for PUBLIC; the DBA grants.

CREATE FUNCTION commerce_private.require_role(role regrole)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF require_role.role IS NULL THEN
		PERFORM commerce_private.raise_invalid('role', 'must not be null');
	END IF;
	-- a number is a regrole whether or not there is such a role
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid = require_role.role) THEN
		PERFORM commerce_private.raise_not_found('role', require_role.role::oid);
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.require_role(regrole) IS
	'refuses what is no role. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

-- Functions in a view are called with the reader's rights.
CREATE FUNCTION commerce_private.view_functions(views regclass[])
RETURNS SETOF regprocedure
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH RECURSIVE read (view) AS (
		SELECT v::oid FROM pg_catalog.unnest(view_functions.views) AS v
		UNION
		SELECT d.refobjid FROM read r JOIN pg_catalog.pg_rewrite w ON w.ev_class = r.view
		JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass)
	SELECT DISTINCT f.oid::regprocedure
	FROM pg_catalog.pg_rewrite w
	JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_proc'::regclass
	JOIN pg_catalog.pg_proc f ON f.oid = d.refobjid AND f.pronamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace)
	WHERE w.ev_class IN (SELECT r.view FROM read r)
$$;
COMMENT ON FUNCTION commerce_private.view_functions(regclass[]) IS 'the functions of the extension that views, and the views that these read, call';

-- A table of anybody's with a column of a row type of ours would keep an update from changing our table. Not while
-- the extension is created: what it records of the privileges of row types, pg_dump warns of.
CREATE FUNCTION commerce_private.close_row_types()
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	open record;
BEGIN
	FOR open IN
		SELECT t.oid::regtype AS type, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee
		FROM pg_catalog.pg_type t
		CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(t.typacl, pg_catalog.acldefault('T', t.typowner))) AS a
		WHERE t.typnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace, 'commerce_archive'::regnamespace, 'commerce_api'::regnamespace)
		  AND t.typtype = 'c' AND a.grantee <> t.typowner
		GROUP BY 1, 2
	LOOP
		EXECUTE pg_catalog.format('REVOKE ALL ON TYPE %s FROM %s', open.type, open.grantee);
	END LOOP;
END
$$;
COMMENT ON FUNCTION commerce_private.close_row_types() IS
	'leaves the types of our rows to their owner, so that nobody''s table has a column of one';

CREATE FUNCTION commerce.grant_app(role regrole)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	views CONSTANT regclass[] := ARRAY(SELECT c.oid FROM pg_catalog.pg_class c
									   WHERE c.relnamespace = 'commerce'::regnamespace AND c.relkind = 'v');
BEGIN
	PERFORM commerce_private.require_role(grant_app.role);
	EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA commerce TO %s', grant_app.role);
	PERFORM commerce_private.close_row_types();
	EXECUTE pg_catalog.format('GRANT SELECT ON ALL TABLES IN SCHEMA commerce TO %s', grant_app.role);
	EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %s',
		(SELECT pg_catalog.string_agg(f.oid::regprocedure::text, ', ')
		 FROM pg_catalog.pg_proc f
		 WHERE f.oid IN (SELECT commerce_private.view_functions(views))
			OR f.pronamespace = 'commerce'::regnamespace AND f.prokind = 'f' AND f.proname <> ALL (ARRAY[
			   'admit_cell',
			   'archive',
			   'confirm_transfer',
			   'dump_extras',
			   'fold',
			   'grant_api',
			   'grant_app',
			   'grant_monitor',
			   'grant_mover',
			   'grant_relay',
			   'join_cells',
			   'open_era',
			   'prepare_after_restore',
			   'publish_catalogue',
			   'purge_outbox',
			   'receive_units',
			   'reconcile_transfers',
			   'reload_counters',
			   'revoke_api',
			   'revoke_app',
			   'router_sql',
			   'schedule_jobs',
			   'scrub_books',
			   'send_units',
			   'set_cell',
			   'set_elsewhere',
			   'transfers_with',
			   'unschedule_jobs',
			   'wait_for_wants'])),
		grant_app.role);
END
$$;
COMMENT ON FUNCTION commerce.grant_app(regrole) IS
	'lets a trusted application role call the shop''s functions for every user and read all tables and views of schema commerce; for the owner of the extension. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.revoke_app(role regrole)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.require_role(revoke_app.role);
	EXECUTE pg_catalog.format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA commerce, commerce_private FROM %s', revoke_app.role);
	EXECUTE pg_catalog.format('REVOKE ALL ON ALL TABLES IN SCHEMA commerce, commerce_private FROM %s', revoke_app.role);
	EXECUTE pg_catalog.format('REVOKE ALL ON SCHEMA commerce, commerce_private FROM %s', revoke_app.role);
END
$$;
COMMENT ON FUNCTION commerce.revoke_app(regrole) IS 'takes back what grant_app() granted. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

-- PostgreSQL gives functions to PUBLIC, and ALTER DEFAULT PRIVILEGES may have given anything to anybody. Each script
-- begins with the extension's dependency on plpgsql, written anew: what has become a member since is what that script has
-- made, and not one before it in the same transaction, after which a DBA may have granted something. What stays is PUBLIC's
-- use of enums and domains: without it, who may read a table could make no view of it.
CREATE FUNCTION commerce_private.close_new_objects()
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	open record;
BEGIN
	FOR open IN
		SELECT k.kind, k.name, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee
		FROM pg_catalog.pg_extension e
		JOIN pg_catalog.pg_depend b ON b.classid = 'pg_extension'::regclass AND b.objid = e.oid AND b.refclassid = 'pg_extension'::regclass
		JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
			AND d.xmin = b.xmin AND d.cmin::text::bigint > b.cmin::text::bigint
		JOIN (SELECT 'pg_namespace'::regclass AS class, n.oid, 'SCHEMA' AS kind, n.oid::regnamespace::text AS name, n.nspowner AS owner,
					 coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner)) AS acl
			  FROM pg_catalog.pg_namespace n
			  UNION ALL
			  SELECT 'pg_class', c.oid, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass::text, c.relowner, c.relacl
			  FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S')
			  UNION ALL
			  SELECT 'pg_proc', f.oid, 'ROUTINE', f.oid::regprocedure::text, f.proowner,
					 coalesce(f.proacl, pg_catalog.acldefault('f', f.proowner))
			  FROM pg_catalog.pg_proc f
			  UNION ALL
			  -- rows are not members of their own: close_row_types()
			  SELECT 'pg_type', t.oid, 'TYPE', t.oid::regtype::text, t.typowner, coalesce(t.typacl, pg_catalog.acldefault('T', t.typowner))
			  FROM pg_catalog.pg_type t WHERE t.typcategory <> 'A' AND t.typtype <> 'c') AS k ON (k.class, k.oid) = (d.classid, d.objid)
		CROSS JOIN LATERAL pg_catalog.aclexplode(k.acl) AS a
		WHERE e.extname = 'commerce' AND a.grantee <> k.owner AND (k.kind <> 'TYPE' OR a.grantee <> 0)
		GROUP BY 1, 2, 3
	LOOP
		EXECUTE pg_catalog.format('REVOKE ALL ON %s %s FROM %s', open.kind, open.name, open.grantee);
	END LOOP;
END
$$;
COMMENT ON FUNCTION commerce_private.close_new_objects() IS
	'at the end of the install script and of every update script: takes back what everybody but the owner has of the objects that the script has made';

SELECT commerce_private.close_new_objects();

DO $$
DECLARE
	object record;
BEGIN
	FOR object IN
		SELECT r.rolname AS name, CASE WHEN r.writes THEN 'write' ELSE 'read' END AS does
		FROM (SELECT p.rolname, pg_catalog.has_table_privilege(p.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') AS writes,
					 pg_catalog.has_table_privilege(p.oid, c.oid, 'SELECT') AS reads
			  FROM pg_catalog.pg_roles p CROSS JOIN pg_catalog.pg_class c
			  WHERE NOT p.rolsuper AND p.rolname !~ '^pg_' AND c.oid = 'commerce.users'::regclass) r
		WHERE r.reads OR r.writes ORDER BY 1
	LOOP
		-- a NOTICE would not be shown
		RAISE WARNING 'role "%" can % all tables of commerce, as a member of another role', object.name, object.does;
	END LOOP;
END
$$;

-- PostgREST learns what there is now
NOTIFY pgrst, 'reload schema';
