/*
 * idempotency.c
 *	  Doing a request once, however often it is sent; owns commerce_private.idempotency_keys.
 *
 * A key is committed with the effect it names, so there is no state between: a call takes an advisory
 * lock on (user, operation, key), looks for the record under a fresh snapshot, and writes it at its
 * end.  A call that fails leaves no record.  A record older than KEPT counts as absent, whether or not
 * it was purged.
 *
 * Lock order: after the gate, before the user's row.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/lock.h"
#include "base/sql.h"
#include "escrow/gate.h"
#include "shop/idempotency.h"

#define MAX_KEY_LENGTH	255
#define KEPT			"interval '24 hours'"

static bool replayed = false;	/* the call that ended last answered a stored result */

static SqlStatement find_key = {
	"SELECT k.request_hash, k.result FROM commerce_private.idempotency_keys k "
	"WHERE k.user_id OPERATOR(pg_catalog.=) $1 AND k.operation OPERATOR(pg_catalog.=) $2 "
	"AND k.key OPERATOR(pg_catalog.=) $3 "
	"AND k.created_at OPERATOR(pg_catalog.>) (pg_catalog.now() OPERATOR(pg_catalog.-) " KEPT ")",
	3, {INT8OID, TEXTOID, TEXTOID}
};

void
idempotency_init(IdempotentCall *call, int64 user_id, const char *operation, text *key,
				 const char *arguments)
{
	pg_cryptohash_ctx *hash;

	call->user_id = user_id;
	call->operation = operation;
	call->key = key;
	if (key == NULL)
		return;

	if (VARSIZE_ANY_EXHDR(key) == 0 ||
		pg_mbstrlen_with_len(VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key)) > MAX_KEY_LENGTH)
		raise_error(ERROR_INVALID_REQUEST, "an idempotency key has 1 to %d characters", MAX_KEY_LENGTH);
	hash = pg_cryptohash_create(PG_SHA256);
	if (hash == NULL || pg_cryptohash_init(hash) < 0 ||
		pg_cryptohash_update(hash, (const uint8 *) arguments, strlen(arguments)) < 0 ||
		pg_cryptohash_final(hash, call->hash, sizeof(call->hash)) < 0)
		elog(ERROR, "could not compute a SHA-256 hash");
	pg_cryptohash_free(hash);
}

void
idempotency_lock(const IdempotentCall *call)
{
	StringInfoData name;
	uint64		hash;

	initStringInfo(&name);
	appendStringInfo(&name, INT64_FORMAT " %s ", call->user_id, call->operation);
	appendBinaryStringInfo(&name, VARDATA_ANY(call->key), VARSIZE_ANY_EXHDR(call->key));
	hash = hash_bytes_extended((unsigned char *) name.data, name.len, 0);
	pfree(name.data);
	lock_take(COMMERCE_LOCK_IDEMPOTENCY, hash);
}

bool
idempotency_begin(IdempotentCall *call, Datum *result)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum		values[3];
	bool		found;

	if (call->key == NULL)
		return false;
	idempotency_lock(call);

	values[0] = Int64GetDatum(call->user_id);
	values[1] = CStringGetTextDatum(call->operation);
	values[2] = PointerGetDatum(call->key);
	SPI_connect();
	found = sql_execute_latest(&find_key, values, NULL) > 0;
	if (found)
	{
		bool		isnull;
		bytea	   *hash = DatumGetByteaPP(sql_datum(0, 1, &isnull));
		MemoryContext previous;

		if (VARSIZE_ANY_EXHDR(hash) != sizeof(call->hash) ||
			memcmp(VARDATA_ANY(hash), call->hash, sizeof(call->hash)) != 0)
			raise_error(ERROR_IDEMPOTENCY_KEY_REUSED, "key \"%s\"", text_to_cstring(call->key));
		previous = MemoryContextSwitchTo(caller);
		*result = PointerGetDatum(PG_DETOAST_DATUM_COPY(sql_datum(0, 2, &isnull)));
		MemoryContextSwitchTo(previous);
		replayed = true;
	}
	SPI_finish();
	return found;
}

void
idempotency_end(IdempotentCall *call, Datum row)
{
	static SqlStatement store_key = {
		"INSERT INTO commerce_private.idempotency_keys AS k (user_id, operation, key, request_hash, result) "
		"VALUES ($1, $2, $3, $4, $5) "
		"ON CONFLICT (user_id, operation, key) DO UPDATE "
		"SET request_hash = EXCLUDED.request_hash, result = EXCLUDED.result, created_at = EXCLUDED.created_at",
		5, {INT8OID, TEXTOID, TEXTOID, BYTEAOID, JSONBOID}
	};
	Datum		values[5];
	bytea	   *hash;
	Datum		json;

	if (call->key == NULL)
	{
		replayed = false;
		return;
	}
	hash = palloc(VARHDRSZ + sizeof(call->hash));
	SET_VARSIZE(hash, VARHDRSZ + sizeof(call->hash));
	memcpy(VARDATA(hash), call->hash, sizeof(call->hash));

	values[0] = Int64GetDatum(call->user_id);
	values[1] = CStringGetTextDatum(call->operation);
	values[2] = PointerGetDatum(call->key);
	values[3] = PointerGetDatum(hash);
	json = DirectFunctionCall1(row_to_json, row);
	values[4] = DirectFunctionCall1(jsonb_in, CStringGetDatum(TextDatumGetCString(json)));
	SPI_connect();
	sql_execute(&store_key, values, NULL);
	SPI_finish();

	/* after all that a trigger may have called */
	replayed = false;
}

bool
idempotency_replayed(void)
{
	return replayed;
}
