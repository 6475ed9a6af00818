/*
 * job.c
 *	  Locks of the periodic jobs, in a lock space of our own (gate.h).
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/spi_util.h"
#include "escrow/gate.h"

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
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, 0, COMMERCE_LOCK_SALES);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	PG_RETURN_VOID();
}

/*
 * try_lock_job(name text)
 *
 * Takes the job's lock until the transaction ends; false when another session has it.
 */
Datum
commerce_try_lock_job(PG_FUNCTION_ARGS)
{
	text	   *name = PG_GETARG_TEXT_PP(0);
	uint32		hash = hash_bytes((unsigned char *) VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, hash, 0, COMMERCE_LOCK_JOB);
	PG_RETURN_BOOL(LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL);
}
