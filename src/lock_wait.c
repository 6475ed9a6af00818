/*
 * lock_wait.c
 *	  Waiting for a lock for a while, to see afterwards whether what was waited for has come another way.
 *
 * The lock manager's waits make deadlocks found, and show in pg_locks who blocks whom.  It knows no limit
 * to them but lock_timeout, which is an error; hence the subtransaction.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "lock_wait.h"

#define LONGER_MS	250			/* than deadlock_timeout */

TimestampTz
lock_wait_end(void)
{
	return LockTimeout > 0 ? TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LockTimeout) : 0;
}

long
lock_wait_left(TimestampTz end, long most)
{
	TimestampTz now = GetCurrentTimestamp();

	if (end == 0)
		return most;
	if (now >= end)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("canceling statement due to lock timeout")));
	return Min(most, (end - now) / 1000 + 1);
}

bool
lock_wait(void (*wait) (const void *arg), const void *arg, TimestampTz end)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int			lock_timeout = LockTimeout;
	int			limit = (int) lock_wait_left(end, DeadlockTimeout + LONGER_MS);
	ErrorData  *error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		LockTimeout = limit;
		wait(arg);
		/* the limit may have been reached when the lock was granted */
		CHECK_FOR_INTERRUPTS();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	LockTimeout = lock_timeout;
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error == NULL)
		return true;
	if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
		ReThrowError(error);
	FreeErrorData(error);
	return false;
}
