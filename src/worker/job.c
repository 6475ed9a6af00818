/*
 * job.c
 *	  Locks of the periodic jobs.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/lock.h"

PG_FUNCTION_INFO_V1(commerce_lock_job);
PG_FUNCTION_INFO_V1(commerce_lock_sales);
PG_FUNCTION_INFO_V1(commerce_try_lock_job);

/*
 * lock_sales()
 *
 * One transaction at a time folds sales.
 */
Datum
commerce_lock_sales(PG_FUNCTION_ARGS)
{
	lock_take(COMMERCE_LOCK_SALES, 0);
	PG_RETURN_VOID();
}

static uint32
key_of_job(const text *name)
{
	return hash_bytes((const unsigned char *) VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
}

/*
 * lock_job(name text)
 *
 * Takes the job's lock until the transaction ends; waits for another session that has it.
 */
Datum
commerce_lock_job(PG_FUNCTION_ARGS)
{
	lock_take(COMMERCE_LOCK_JOB, key_of_job(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

/*
 * try_lock_job(name text)
 *
 * The same, or false when another session has it.
 */
Datum
commerce_try_lock_job(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(lock_try(COMMERCE_LOCK_JOB, key_of_job(PG_GETARG_TEXT_PP(0))));
}
