/*
 * subtransaction.c
 *	  Work that is undone when it was no use.
 *
 * A subtransaction is ended by who began it, also after an error that there is no memory to copy.  Were it left
 * open, a PL/pgSQL block that catches the error would end ours in the place of its own, and go on with the user and
 * the search_path of our function; and after a single statement the session would be in an aborted transaction.
 *
 * A subtransaction that cannot be ended stays open, or is half ended: PostgreSQL's statistics, for one, then point to
 * memory that the transaction's end gives back (AtEOSubXact_PgStat_Relations()), and a later transaction writes there.
 * So the session ends.  It ends, too, when what was called has left a subtransaction of its own open.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/subtransaction.h"

static void
end_subtransaction(bool keep, int level, MemoryContext context, ResourceOwner owner)
{
	PG_TRY();
	{
		/* such as by a trigger's EXCEPTION block that ran out of memory: that one would be ended in the place of ours */
		if (GetCurrentTransactionNestLevel() != level)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
					 errmsg("another subtransaction was left open")));
		if (keep)
			ReleaseCurrentSubTransaction();
		else
			RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		int			code = geterrcode();

		/* it has not begun to end: others who are told before have failed, such as another server */
		if (keep && IsTransactionState())
		{
			end_subtransaction(false, level, context, owner);
			PG_RE_THROW();
		}
		ereport(FATAL,
				(errcode(code),
				 errmsg("a subtransaction could not be ended")));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
}

/*
 * Copies the error that was caught; NULL: want of memory has become the error.  It is done before the rollback, as what was
 * caught and thrown again points to memory that is gone after it (ReThrowError() does not copy the file's name).
 */
static ErrorData *
copy_error(void)
{
	ErrorData  *volatile copy = NULL;

	PG_TRY();
	{
		copy = CopyErrorData();
	}
	PG_CATCH();
	{
	}
	PG_END_TRY();
	return copy;
}

bool
subtransaction_try(bool (*work) (void *arg), void *arg, ErrorData **error)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool keep = false;
	int			level;

	*error = NULL;
	BeginInternalSubTransaction(NULL);
	level = GetCurrentTransactionNestLevel();
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		keep = work(arg);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		*error = copy_error();
		end_subtransaction(false, level, context, owner);
		if (*error == NULL)
			PG_RE_THROW();
		FlushErrorState();
	}
	PG_END_TRY();
	if (*error != NULL)
		return false;
	end_subtransaction(keep, level, context, owner);
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
