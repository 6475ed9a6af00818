/*
 * subscription.c
 *	  Reading events in order: positions, the horizon, fetch_events(), and the lock by which one session
 *	  at a time delivers a subscription.
 *
 * A position is the cursor (era, key, position) as text of fixed width, lower-case hexadecimal digits
 * with leading zeros, so that text order in any collation is reading order.
 *
 * What may be read: under one snapshot, an event of the current era whose key is below the snapshot's
 * xmin, and every event of an era that is closed.  The id of the transaction that wrote an event is not
 * above the event's key (outbox.c), so below xmin nothing can be added any more, whatever the order in
 * which transactions commit.  Eras before the one in commerce_private.origin are closed; when the origin is not
 * this cluster, which has then not written here yet, all of them are.
 *
 * fetch_events() writes nothing, assigns no transaction id and waits for nobody: a reader that had an id
 * would hold back the horizon for every other.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/lock.h"
#include "base/sql.h"
#include "escrow/gate.h"

#define POSITION_LENGTH		42	/* of "eeeeeeee-kkkkkkkkkkkkkkkk-pppppppppppppppp" */
#define MAX_FETCH			100000

typedef struct Position
{
	int64		era;
	uint64		key;
	int64		position;
} Position;

PG_FUNCTION_INFO_V1(commerce_format_position);
PG_FUNCTION_INFO_V1(commerce_parse_position);
PG_FUNCTION_INFO_V1(commerce_fetch_events);
PG_FUNCTION_INFO_V1(commerce_system_identifier);
PG_FUNCTION_INFO_V1(commerce_try_lock_subscription);
PG_FUNCTION_INFO_V1(commerce_unlock_subscription);
PG_FUNCTION_INFO_V1(commerce_delivers_subscription);
PG_FUNCTION_INFO_V1(commerce_subscription_lock_key);

static text *
format_position(const Position *position)
{
	char		buffer[POSITION_LENGTH + 1];

	snprintf(buffer, sizeof(buffer), "%08llx-%016llx-%016llx", (unsigned long long) position->era,
			 (unsigned long long) position->key, (unsigned long long) position->position);
	return cstring_to_text_with_len(buffer, POSITION_LENGTH);
}

/* Reads digits lower-case hexadecimal digits; false when they are something else. */
static bool
parse_hex(const char *s, int digits, uint64 *value)
{
	*value = 0;
	for (int i = 0; i < digits; i++)
	{
		if (s[i] >= '0' && s[i] <= '9')
			*value = *value << 4 | (uint64) (s[i] - '0');
		else if (s[i] >= 'a' && s[i] <= 'f')
			*value = *value << 4 | (uint64) (s[i] - 'a' + 10);
		else
			return false;
	}
	return true;
}

/*
 * format_position(era bigint, key bigint, position bigint)
 */
Datum
commerce_format_position(PG_FUNCTION_ARGS)
{
	Position	position;

	position.era = PG_GETARG_INT64(0);
	position.key = PG_GETARG_INT64(1);
	position.position = PG_GETARG_INT64(2);
	PG_RETURN_TEXT_P(format_position(&position));
}

/*
 * parse_position(position text, OUT era bigint, OUT key bigint, OUT number bigint)
 *
 * INVALID_REQUEST when the text is no position.
 */
Datum
commerce_parse_position(PG_FUNCTION_ARGS)
{
	const char *s = PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0));
	uint64		era = 0;
	uint64		key = 0;
	uint64		number = 0;
	TupleDesc	tupdesc;
	Datum		values[3];
	bool		nulls[3] = {false};

	if (strlen(s) != POSITION_LENGTH || s[8] != '-' || s[25] != '-' ||
		!parse_hex(s, 8, &era) || !parse_hex(s + 9, 16, &key) || !parse_hex(s + 26, 16, &number) ||
		key > PG_INT64_MAX || number > PG_INT64_MAX)
		raise_invalid("up_to", "must be a position as fetch_events() returns it");
	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "parse_position must return a row");
	values[0] = Int64GetDatum((int64) era);
	values[1] = Int64GetDatum((int64) key);
	values[2] = Int64GetDatum((int64) number);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}

/*
 * system_identifier()
 *
 * Of this cluster, as in pg_control_system() without reading the file.
 */
Datum
commerce_system_identifier(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) GetSystemIdentifier());
}

/*
 * Waits until everything that the active snapshot sees is on disk: a session with synchronous_commit =
 * off makes its commit visible before that, and an event that a consumer has must outlive a crash.
 */
static void
flush_visible(void)
{
	XLogRecPtr	end;

	/* a standby replays what it has flushed */
	if (RecoveryInProgress())
		return;

	/*
	 * The insert position points behind the header of the page that the next record goes to, when the
	 * last one filled its page; to flush that far is not possible before there is a next record.
	 */
	end = GetXLogInsertRecPtr();
	if (XLogSegmentOffset(end, wal_segment_size) == SizeOfXLogLongPHD)
		end -= SizeOfXLogLongPHD;
	else if (end % XLOG_BLCKSZ == SizeOfXLogShortPHD)
		end -= SizeOfXLogShortPHD;
	XLogFlush(end);
}

/* Appends events, as format_position() and their columns. */
static void
return_events(ReturnSetInfo *rsinfo, SqlResult *events)
{
	static const char *const columns[] = {"id", "type", "aggregatetype", "aggregateid", "payload", "created_at", "era"};

	while (result_next(events))
	{
		Datum		values[lengthof(columns) + 1];
		bool		nulls[lengthof(columns) + 1] = {false};
		Position	position;

		position.era = result_int64(events, "era");
		position.key = result_int64(events, "key");
		position.position = result_int64(events, "position");
		values[0] = PointerGetDatum(format_position(&position));
		for (int i = 0; i < (int) lengthof(columns); i++)
			values[i + 1] = result_datum(events, columns[i], &nulls[i + 1]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		pfree(DatumGetPointer(values[0]));
	}
}

/*
 * fetch_events(subscription text, max_events int)
 *
 * The next events after the subscription's cursor: (position, id, type, aggregatetype, aggregateid,
 * payload, created_at, era) in order; none while it is paused.  Read under the caller's snapshot.
 */
Datum
commerce_fetch_events(PG_FUNCTION_ARGS)
{
	static SqlStatement read_cursor = {
		"SELECT s.era, s.key, s.position, s.event_types, h.era AS horizon_era, h.key AS horizon_key, "
		"s.paused_at IS NOT NULL AS paused, "
		"EXISTS (SELECT FROM commerce_private.origin o WHERE o.rebase_mark IS NOT NULL "
		"  OR o.system_identifier OPERATOR(pg_catalog.<>) commerce_private.system_identifier()) AS is_foreign "
		"FROM commerce.subscriptions s CROSS JOIN commerce_private.outbox_horizon() h "
		"WHERE s.name OPERATOR(pg_catalog.=) $1",
		1, {TEXTOID}, SQL_ACTIVE
	};
	static SqlStatement read_events = {
		"SELECT e.era, e.key, e.position, e.id, e.type, e.aggregatetype, e.aggregateid, e.payload, e.created_at "
		"FROM commerce.outbox e "
		"WHERE ROW (e.era, e.key, e.position) OPERATOR(pg_catalog.>) ROW ($1, $2, $3) "
		"AND ROW (e.era, e.key) OPERATOR(pg_catalog.<) ROW ($5, $6) "
		"AND ($4 IS NULL OR e.type OPERATOR(pg_catalog.=) ANY ($4)) "
		"ORDER BY e.era, e.key, e.position LIMIT $7",
		7, {INT8OID, INT8OID, INT8OID, TEXTARRAYOID, INT8OID, INT8OID, INT8OID}, SQL_ACTIVE
	};
	static const char *const parameters[] = {"era", "key", "position", "event_types", "horizon_era", "horizon_key"};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		name = PointerGetDatum(arg_text(fcinfo, 0, "subscription"));
	SqlResult	cursor;
	SqlResult	events;
	Datum		values[7];
	char		nulls[8] = "       ";

	if (PG_ARGISNULL(1) || PG_GETARG_INT32(1) < 1 || PG_GETARG_INT32(1) > MAX_FETCH)
		raise_invalid("max_events", "must be from 1 to %d", MAX_FETCH);
	InitMaterializedSRF(fcinfo, 0);

	/* both statements read under the active snapshot, whose xmin is the horizon */
	cursor = sql_query(&read_cursor, &name);
	if (!result_next(&cursor))
		raise_error(ERROR_ENTITY_NOT_FOUND, D_TEXT("entity", "subscription"),
					D_TEXT("id", TextDatumGetCString(name)));
	if (result_bool(&cursor, "is_foreign"))
		gate_refuse_foreign();
	if (result_bool(&cursor, "paused"))
		return (Datum) 0;
	for (int i = 0; i < (int) lengthof(parameters); i++)
	{
		bool		isnull;

		values[i] = result_datum(&cursor, parameters[i], &isnull);
		nulls[i] = isnull ? 'n' : ' ';
	}
	values[6] = Int64GetDatum(PG_GETARG_INT32(1));
	events = sql_query_with_nulls(&read_events, values, nulls);
	if (events.n > 0)
		flush_visible();
	return_events(rsinfo, &events);
	return (Datum) 0;
}

static uint64
lock_key(text *name)
{
	return hash_bytes_extended((unsigned char *) VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name), 0);
}

/*
 * try_lock_subscription(name text, for_session boolean)
 *
 * Takes the subscription's lock until the transaction ends, or for the session: then until it is given
 * back as often as it was taken, or the session ends.  False when another session has it.
 */
Datum
commerce_try_lock_subscription(PG_FUNCTION_ARGS)
{
	uint64		key = lock_key(PG_GETARG_TEXT_PP(0));

	PG_RETURN_BOOL(PG_GETARG_BOOL(1) ? lock_try_session(COMMERCE_LOCK_SUBSCRIPTION, key)
				   : lock_try(COMMERCE_LOCK_SUBSCRIPTION, key));
}

/*
 * unlock_subscription(name text)
 *
 * Gives the session's lock back; false, with a warning, when it does not have it.
 */
Datum
commerce_unlock_subscription(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(lock_release_session(COMMERCE_LOCK_SUBSCRIPTION, lock_key(arg_text(fcinfo, 0, "subscription"))));
}

/*
 * delivers_subscription(name text)
 *
 * Whether this session has the subscription's lock.
 */
Datum
commerce_delivers_subscription(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(lock_is_mine(COMMERCE_LOCK_SUBSCRIPTION, lock_key(PG_GETARG_TEXT_PP(0))));
}

/*
 * subscription_lock_key(name text)
 *
 * The lock's key as pg_locks shows it: classid in the upper half, objid in the lower.
 */
Datum
commerce_subscription_lock_key(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) lock_key(PG_GETARG_TEXT_PP(0)));
}
