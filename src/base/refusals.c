/*
 * refusals.c
 *	  How often each error of error_codes.h was raised in a database since the server's start.
 *
 * Shared memory has places for so many databases; the first refusal in a database takes a place for good.  Databases
 * that come when all are taken are not counted, nor is anything where the library is not preloaded.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/refusals.h"

#define DATABASES	64

PG_FUNCTION_INFO_V1(commerce_refusals);

static const char *const code_names[] = {
#define ERROR_CODE(code, status, sqlstate, en, ko, keys) #code,
#include "base/error_codes.h"
#undef ERROR_CODE
};

#define CODES	lengthof(code_names)

typedef struct Refusals
{
	pg_atomic_uint32 database;	/* InvalidOid: free */
	pg_atomic_uint64 counts[CODES];
} Refusals;

static Refusals *places = NULL;

void
refusals_request_memory(void)
{
	RequestAddinShmemSpace(DATABASES * sizeof(Refusals));
}

void
refusals_start_memory(void)
{
	bool		found;

	places = ShmemInitStruct("commerce refusals", DATABASES * sizeof(Refusals), &found);
	if (found)
		return;
	for (int i = 0; i < DATABASES; i++)
	{
		pg_atomic_init_u32(&places[i].database, InvalidOid);
		for (int code = 0; code < (int) CODES; code++)
			pg_atomic_init_u64(&places[i].counts[code], 0);
	}
}

/* This database's place, which it takes if it has none and one is free; or NULL. */
static Refusals *
own_place(void)
{
	for (int i = 0; places != NULL && i < DATABASES; i++)
	{
		uint32		holder = InvalidOid;

		if (pg_atomic_compare_exchange_u32(&places[i].database, &holder, MyDatabaseId) || holder == MyDatabaseId)
			return &places[i];
	}
	return NULL;
}

void
refusals_count(int code)
{
	Refusals   *own = own_place();

	if (own)
		pg_atomic_fetch_add_u64(&own->counts[code], 1);
}

/*
 * refusals()
 *
 * (code text, count bigint) of this database since the server's start; none where they are not counted.
 */
Datum
commerce_refusals(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Refusals   *own = own_place();

	InitMaterializedSRF(fcinfo, 0);
	for (int code = 0; own != NULL && code < (int) CODES; code++)
	{
		Datum		values[2] = {CStringGetTextDatum(code_names[code]), UInt64GetDatum(pg_atomic_read_u64(&own->counts[code]))};
		bool		nulls[2] = {false, false};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
