/*
 * subtransaction.c
 *	  Work that is undone when it was no use.
 *
 * A subtransaction is ended by who began it, also after an error, and before anything that may fail: copying
 * the error needs memory.  Were it left open, a PL/pgSQL block that catches the error would end ours in the
 * place of its own, and go on with the user and the search_path of our function; and after a single statement
 * the session would be in an aborted transaction.
 *
 * An error in the end of a subtransaction may have left it half ended.  It is thrown, always, so that what is
 * around it is undone, too.  One that cannot even be rolled back after an error stays open, so the session ends.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/subtransaction.h"

/* After an error: undoes it, or nobody goes on. */
static void
roll_back(void)
{
	PG_TRY();
	{
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		int			code = geterrcode();

		ereport(FATAL,
				(errcode(code),
				 errmsg("what has failed cannot be undone")));
	}
	PG_END_TRY();
}

bool
subtransaction_try(bool (*work) (void *arg), void *arg, ErrorData **error)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool keep = false;
	volatile bool ending = false;

	*error = NULL;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		keep = work(arg);
		ending = true;
		if (keep)
			ReleaseCurrentSubTransaction();
		else
			RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		roll_back();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (ending)
			PG_RE_THROW();
		*error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return keep;
}

bool
subtransaction_keep_if(bool (*work) (void *arg), void *arg)
{
	ErrorData  *error;
	bool		kept = subtransaction_try(work, arg, &error);

	if (error != NULL)
		ReThrowError(error);
	return kept;
}

bool
error_ends_transaction(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_INTERNAL_ERROR:
			return true;
		default:
			return false;
	}
}
