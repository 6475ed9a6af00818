/*
 * idempotency.c
 *	  Doing a request once, however often it is sent; owns commerce_private.idempotency_keys.
 *
 * A key is committed with the effect it names, so there is no state between: a call takes an advisory
 * lock on (user, operation, key), looks for the record under a fresh snapshot, and writes it at its
 * end.  A call that fails leaves no record.  A record older than KEPT counts as absent, whether or not
 * it was purged.  A call in SQL leaves the row that it returned, one over REST the whole answer.
 *
 * Lock order: after the gate, before the user's row.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/json_writer.h"
#include "base/lock.h"
#include "base/row_reader.h"
#include "base/row_writer.h"
#include "base/sql.h"
#include "escrow/gate.h"
#include "shop/idempotency.h"

#define KEPT			(24 * USECS_PER_HOUR)

PG_FUNCTION_INFO_V1(commerce_begin_key);
PG_FUNCTION_INFO_V1(commerce_end_key);

static bool replayed = false;	/* the call that ended last answered a stored result */

void
idempotency_init(IdempotentCall *call, const char *scope, const char *operation, text *key,
				 const char *arguments)
{
	pg_cryptohash_ctx *hash;

	call->scope = scope;
	call->operation = operation;
	call->key = key;
	if (key == NULL)
		return;

	if (VARSIZE_ANY_EXHDR(key) == 0)
		raise_invalid("idempotency_key", "must not be empty");
	hash = pg_cryptohash_create(PG_SHA256);
	if (hash == NULL || pg_cryptohash_init(hash) < 0 ||
		pg_cryptohash_update(hash, (const uint8 *) arguments, strlen(arguments)) < 0 ||
		pg_cryptohash_final(hash, call->hash, sizeof(call->hash)) < 0)
		elog(ERROR, "could not compute a SHA-256 hash");
	pg_cryptohash_free(hash);
}

char *
idempotency_scope(const char *entity, int64 id)
{
	return psprintf("%s:" INT64_FORMAT, entity, id);
}

void
idempotency_lock(const IdempotentCall *call)
{
	StringInfoData name;
	uint64		hash;

	initStringInfo(&name);
	appendStringInfo(&name, "%s %s ", call->scope, call->operation);
	appendBinaryStringInfo(&name, VARDATA_ANY(call->key), VARSIZE_ANY_EXHDR(call->key));
	hash = hash_bytes_extended((unsigned char *) name.data, name.len, 0);
	pfree(name.data);
	lock_take(COMMERCE_LOCK_IDEMPOTENCY, hash);
}

/* Deletes the record of a call that is as good as absent: another one is about to take its place. */
static void
delete_record(const IdempotentCall *call)
{
	static SqlStatement delete = {
		"DELETE FROM commerce_private.idempotency_keys k WHERE k.scope OPERATOR(pg_catalog.=) $1 "
		"AND k.operation OPERATOR(pg_catalog.=) $2 AND k.key OPERATOR(pg_catalog.=) $3",
		3, {TEXTOID, TEXTOID, TEXTOID}, SQL_LATEST
	};

	sql_do(&delete, SQL_ARGS(CStringGetTextDatum(call->scope), CStringGetTextDatum(call->operation),
							 PointerGetDatum(call->key)));
}

/* Whether the record that a reader is at is that of the same arguments; an error when it is not. */
static void
require_same_request(const IdempotentCall *call, RowReader *record)
{
	bytea	   *hash = (bytea *) row_varlena(record, IDEMPOTENCY_KEYS_REQUEST_HASH);

	if (VARSIZE_ANY_EXHDR(hash) != sizeof(call->hash) ||
		memcmp(VARDATA_ANY(hash), call->hash, sizeof(call->hash)) != 0)
		raise_error(ERROR_IDEMPOTENCY_KEY_REUSED, D_TEXT("key", text_to_cstring(call->key)));
}

static void
close_record(RowReader *record)
{
	row_reader_close(record);
	PopActiveSnapshot();
}

/* Opens the record of a call, as it is committed or this transaction has written it; false, with nothing open: there is none. */
static bool
open_record(const IdempotentCall *call, RowReader *record)
{
	Datum		keys[3];

	keys[0] = CStringGetTextDatum(call->scope);
	keys[1] = CStringGetTextDatum(call->operation);
	keys[2] = PointerGetDatum(call->key);
	row_push_latest_snapshot();
	row_reader_open(record, TABLE_IDEMPOTENCY_KEYS, INDEX_IDEMPOTENCY_KEYS_PKEY, lengthof(keys));
	row_reader_seek_texts(record, keys);
	if (row_reader_next(record))
		return true;
	close_record(record);
	return false;
}

/* Takes a call's key, and reads its record into *result or *answer; false when there is none. */
static bool
find_record(const IdempotentCall *call, Datum *result, StoredAnswer *answer)
{
	RowReader	record;
	bool		kept;

	if (call->key == NULL)
		return false;
	idempotency_lock(call);
	if (!open_record(call, &record))
		return false;
	kept = row_int64(&record, IDEMPOTENCY_KEYS_CREATED_AT) > GetCurrentTransactionStartTimestamp() - KEPT;
	if (kept)
	{
		require_same_request(call, &record);
		if (result)
			*result = PointerGetDatum(row_varlena(&record, IDEMPOTENCY_KEYS_RESULT));
		else
		{
			answer->status = row_int32(&record, IDEMPOTENCY_KEYS_STATUS);
			answer->location = row_text(&record, IDEMPOTENCY_KEYS_LOCATION);
			answer->body = (text *) row_varlena(&record, IDEMPOTENCY_KEYS_BODY);
		}
	}
	close_record(&record);
	if (!kept)
		delete_record(call);
	return kept;
}

bool
idempotency_begin(IdempotentCall *call, Datum *result)
{
	if (!find_record(call, result, NULL))
		return false;
	replayed = true;
	return true;
}

bool
idempotency_begin_answer(IdempotentCall *call, StoredAnswer *answer)
{
	return find_record(call, NULL, answer);
}

/* Stores what a call that has a key has answered, of which the row has the columns from the result on. */
static void
store_record(const IdempotentCall *call, Row *row)
{
	bytea	   *hash = palloc(VARHDRSZ + sizeof(call->hash));

	SET_VARSIZE(hash, VARHDRSZ + sizeof(call->hash));
	memcpy(VARDATA(hash), call->hash, sizeof(call->hash));
	row_put_text(row, IDEMPOTENCY_KEYS_SCOPE, call->scope);
	row_put_text(row, IDEMPOTENCY_KEYS_OPERATION, call->operation);
	row_put_varlena(row, IDEMPOTENCY_KEYS_KEY, call->key);
	row_put_varlena(row, IDEMPOTENCY_KEYS_REQUEST_HASH, hash);
	row_put_time(row, IDEMPOTENCY_KEYS_CREATED_AT, GetCurrentTransactionStartTimestamp());
	row_insert(TABLE_IDEMPOTENCY_KEYS, IDEMPOTENCY_KEYS_COLUMNS, row);
}

/* Stores the result of a call that has a key. */
static void
store_result(const IdempotentCall *call, Jsonb *result)
{
	Row			row = {0};

	row_put_varlena(&row, IDEMPOTENCY_KEYS_RESULT, result);
	store_record(call, &row);
}

void
idempotency_end_answer(IdempotentCall *call, const StoredAnswer *answer, int64 person)
{
	Row			row = {0};
	RowReader	record;

	if (call->key == NULL)
		return;
	/* a function that keeps its keys for longer has stored what it returned under the same name */
	if (open_record(call, &record))
	{
		close_record(&record);
		delete_record(call);
	}
	row_put_int32(&row, IDEMPOTENCY_KEYS_STATUS, answer->status);
	row_put_text(&row, IDEMPOTENCY_KEYS_LOCATION, answer->location);
	row_put_varlena(&row, IDEMPOTENCY_KEYS_BODY, answer->body);
	row_put_id(&row, IDEMPOTENCY_KEYS_USER_ID, person);
	store_record(call, &row);
}

void
idempotency_end(IdempotentCall *call, Datum row)
{
	if (call->key != NULL)
		store_result(call, json_of_row(row, 0, NULL));

	/* after all that a trigger may have called */
	replayed = false;
}

void
idempotency_set_replayed(bool is_replayed)
{
	replayed = is_replayed;
}

bool
idempotency_replayed(void)
{
	return replayed;
}

/* The arguments (scope, operation, idempotency_key, arguments jsonb) of the two functions below. */
static void
init_from_sql(IdempotentCall *call, FunctionCallInfo fcinfo)
{
	Jsonb	   *arguments;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(3))
		elog(ERROR, "a key has a scope, an operation and arguments");
	arguments = PG_GETARG_JSONB_P(3);
	idempotency_init(call, text_to_cstring(PG_GETARG_TEXT_PP(0)), text_to_cstring(PG_GETARG_TEXT_PP(1)),
					 arg_text_or_null(fcinfo, 2, "idempotency_key"),
					 JsonbToCString(NULL, &arguments->root, VARSIZE(arguments)));
}

/*
 * begin_key(scope text, operation text, idempotency_key text, arguments jsonb)
 *
 * idempotency_begin() for the functions that are written in SQL: the stored result (jsonb), or NULL when the
 * call is to do its work.
 */
Datum
commerce_begin_key(PG_FUNCTION_ARGS)
{
	IdempotentCall call;
	Datum		result;

	init_from_sql(&call, fcinfo);
	if (!idempotency_begin(&call, &result))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}

/*
 * end_key(scope text, operation text, idempotency_key text, arguments jsonb, result jsonb)
 *
 * idempotency_end() for the functions that are written in SQL.
 */
Datum
commerce_end_key(PG_FUNCTION_ARGS)
{
	IdempotentCall call;

	init_from_sql(&call, fcinfo);
	if (call.key != NULL && PG_ARGISNULL(4))
		elog(ERROR, "a call with a key has a result");
	if (call.key != NULL)
		store_result(&call, PG_GETARG_JSONB_P(4));
	replayed = false;
	PG_RETURN_VOID();
}
