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
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/lock_wait.h"
#include "base/subtransaction.h"

#define LONGER_MS	250			/* than deadlock_timeout */

typedef struct Wait
{
	void		(*function) (const void *arg);
	const void *arg;
	int			limit;			/* ms */
} Wait;

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

/*
 * Whether the time of this statement is over.  PostgreSQL reports one of two timeouts that are found at the
 * same time, as after the process was stopped for a while, and forgets the other.  So it does with a
 * cancellation at that moment, which cannot be found out here; a second one is heard.
 */
static bool
statement_has_timed_out(void)
{
	return StatementTimeout > 0 && !get_timeout_active(STATEMENT_TIMEOUT) &&
		get_timeout_finish_time(STATEMENT_TIMEOUT) > GetCurrentStatementStartTimestamp();
}

/* Answers false: what was locked is not kept. */
static bool
wait_for_locks(void *arg)
{
	const Wait *wait = arg;

	LockTimeout = wait->limit;
	wait->function(wait->arg);
	/* the limit may have been reached when the lock was granted */
	CHECK_FOR_INTERRUPTS();
	return false;
}

bool
lock_wait(void (*function) (const void *arg), const void *arg, TimestampTz end)
{
	Wait		wait = {function, arg, (int) lock_wait_left(end, DeadlockTimeout + LONGER_MS)};
	int			lock_timeout = LockTimeout;
	ErrorData  *error;

	PG_TRY();
	{
		(void) subtransaction_try(wait_for_locks, &wait, &error);
	}
	PG_FINALLY();
	{
		LockTimeout = lock_timeout;
	}
	PG_END_TRY();
	if (error == NULL)
		return true;
	if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
		ReThrowError(error);
	FreeErrorData(error);
	if (statement_has_timed_out())
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("canceling statement due to statement timeout")));
	return false;
}
