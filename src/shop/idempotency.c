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

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/lock.h"
#include "base/sql.h"
#include "escrow/gate.h"
#include "shop/idempotency.h"

#define KEPT			"interval '24 hours'"

PG_FUNCTION_INFO_V1(commerce_begin_key);
PG_FUNCTION_INFO_V1(commerce_end_key);

static bool replayed = false;	/* the call that ended last answered a stored result */

static SqlStatement find_key = {
	"SELECT k.request_hash, k.result, k.status, k.location, k.body FROM commerce_private.idempotency_keys k "
	"WHERE k.scope OPERATOR(pg_catalog.=) $1 AND k.operation OPERATOR(pg_catalog.=) $2 "
	"AND k.key OPERATOR(pg_catalog.=) $3 "
	"AND k.created_at OPERATOR(pg_catalog.>) (pg_catalog.now() OPERATOR(pg_catalog.-) " KEPT ")",
	3, {TEXTOID, TEXTOID, TEXTOID}, SQL_LATEST
};

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

/* Takes a call's key, and goes to its record; false when there is none. */
static bool
find_record(IdempotentCall *call, SqlResult *found)
{
	bytea	   *hash;

	if (call->key == NULL)
		return false;
	idempotency_lock(call);

	*found = sql_query(&find_key, SQL_ARGS(CStringGetTextDatum(call->scope), CStringGetTextDatum(call->operation),
										   PointerGetDatum(call->key)));
	if (!result_next(found))
		return false;
	hash = DatumGetByteaPP(result_varlena(found, "request_hash"));
	if (VARSIZE_ANY_EXHDR(hash) != sizeof(call->hash) ||
		memcmp(VARDATA_ANY(hash), call->hash, sizeof(call->hash)) != 0)
		raise_error(ERROR_IDEMPOTENCY_KEY_REUSED, D_TEXT("key", text_to_cstring(call->key)));
	return true;
}

bool
idempotency_begin(IdempotentCall *call, Datum *result)
{
	SqlResult	found;

	if (!find_record(call, &found))
		return false;
	*result = result_varlena(&found, "result");
	replayed = true;
	return true;
}

bool
idempotency_begin_answer(IdempotentCall *call, StoredAnswer *answer)
{
	SqlResult	found;

	if (!find_record(call, &found))
		return false;
	answer->status = result_int32(&found, "status");
	answer->location = result_text(&found, "location");
	answer->body = DatumGetTextPP(result_varlena(&found, "body"));
	return true;
}

typedef enum RecordColumn
{
	RECORD_RESULT = 4, RECORD_STATUS, RECORD_LOCATION, RECORD_BODY, RECORD_USER_ID, RECORD_COLUMNS
} RecordColumn;

/* Stores what a call that has a key has answered: columns from RECORD_RESULT on, nulls marked with 'n'. */
static void
store_record(const IdempotentCall *call, Datum *values, const char *nulls)
{
	static SqlStatement store = {
		"INSERT INTO commerce_private.idempotency_keys AS k "
		"(scope, operation, key, request_hash, result, status, location, body, user_id) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) "
		"ON CONFLICT (scope, operation, key) DO UPDATE "
		"SET request_hash = EXCLUDED.request_hash, result = EXCLUDED.result, status = EXCLUDED.status, "
		"location = EXCLUDED.location, body = EXCLUDED.body, user_id = EXCLUDED.user_id, created_at = EXCLUDED.created_at",
		RECORD_COLUMNS, {TEXTOID, TEXTOID, TEXTOID, BYTEAOID, JSONBOID, INT4OID, TEXTOID, TEXTOID, INT8OID}
	};
	bytea	   *hash = palloc(VARHDRSZ + sizeof(call->hash));

	SET_VARSIZE(hash, VARHDRSZ + sizeof(call->hash));
	memcpy(VARDATA(hash), call->hash, sizeof(call->hash));
	values[0] = CStringGetTextDatum(call->scope);
	values[1] = CStringGetTextDatum(call->operation);
	values[2] = PointerGetDatum(call->key);
	values[3] = PointerGetDatum(hash);
	(void) sql_query_with_nulls(&store, values, nulls);
}

/* Stores the result of a call that has a key (jsonb). */
static void
store_result(const IdempotentCall *call, Datum result)
{
	Datum		values[RECORD_COLUMNS] = {[RECORD_RESULT] = result};

	store_record(call, values, "     nnnn");
}

void
idempotency_end_answer(IdempotentCall *call, const StoredAnswer *answer, int64 person)
{
	Datum		values[RECORD_COLUMNS] = {
		[RECORD_STATUS] = Int32GetDatum(answer->status),
		[RECORD_BODY] = PointerGetDatum(answer->body),
		[RECORD_USER_ID] = Int64GetDatum(person)
	};
	char		nulls[] = "    n n n";

	if (call->key == NULL)
		return;
	if (answer->location)
	{
		values[RECORD_LOCATION] = CStringGetTextDatum(answer->location);
		nulls[RECORD_LOCATION] = ' ';
	}
	if (person != 0)
		nulls[RECORD_USER_ID] = ' ';
	store_record(call, values, nulls);
}

void
idempotency_end(IdempotentCall *call, Datum row)
{
	if (call->key != NULL)
	{
		Datum		json = DirectFunctionCall1(row_to_json, row);

		store_result(call, DirectFunctionCall1(jsonb_in, CStringGetDatum(TextDatumGetCString(json))));
	}

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
		store_result(&call, PG_GETARG_DATUM(4));
	replayed = false;
	PG_RETURN_VOID();
}
