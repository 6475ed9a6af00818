/*
 * sweep.c
 *	  Doing what is due, some of which may be impossible.
 *
 * Something that cannot be changed (a DBA's trigger or constraint refuses it, it needs more than there is)
 * must not keep the rest from being done, nor be tried in vain together with it for ever.  So all is tried
 * together, which costs one subtransaction, and when that fails, each by itself.  The rest may be behind more
 * of such than were to be tried: then as many from somewhere behind are tried, too, each time from somewhere else.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/subtransaction.h"
#include "base/sweep.h"

typedef struct Attempt
{
	const Sweep *sweep;
	const int64 *ids;
	int			n;
	int			done;
} Attempt;

static bool
do_work(void *arg)
{
	Attempt    *attempt = arg;

	attempt->done = attempt->sweep->work(attempt->ids, attempt->n);
	return attempt->done > 0;
}

/*
 * Tries all or nothing, and answers the error that is the reason for nothing; NULL: there was none.  An error
 * that is not about what is tried is thrown.
 */
static ErrorData *
try_to(Attempt *attempt)
{
	ErrorData  *error;

	if (!subtransaction_try(do_work, attempt, &error))
		attempt->done = 0;
	if (error != NULL && error_ends_transaction(error))
		ReThrowError(error);
	return error;
}

static void
warn(const Sweep *sweep, int64 id, const ErrorData *error)
{
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("%s " INT64_FORMAT " could not be %s: %s", sweep->thing, id, sweep->change, error->message),
			 error->detail ? errdetail_internal("%s", error->detail) : 0,
			 error->hint ? errhint("%s", error->hint) : 0));
}

/* Appends some that are due behind all of these. */
static int64 *
with_some_behind(const Sweep *sweep, const int64 *ids, int *n)
{
	int			nbehind;
	int64	   *behind = sweep->find(*n, *n, &nbehind);
	int64	   *all = palloc((*n + nbehind) * sizeof(int64));

	memcpy(all, ids, *n * sizeof(int64));
	memcpy(all + *n, behind, nbehind * sizeof(int64));
	*n += nbehind;
	return all;
}

/* Tries each by itself, until it was done to `max` of them. */
static int
try_each(const Sweep *sweep, const int64 *ids, int n, int64 max)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "commerce sweep", ALLOCSET_DEFAULT_SIZES);
	int			done = 0;
	int64		changed = 0;

	if (sweep->lock)
		sweep->lock(ids, n);
	for (int i = 0; i < n && changed < max; i++)
	{
		Attempt		one = {sweep, &ids[i], 1};
		ErrorData  *error;

		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		error = try_to(&one);
		if (error != NULL)
			warn(sweep, ids[i], error);
		done += one.done;
		changed += (one.done > 0);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return done;
}

int
sweep(const Sweep *sweep, int64 max)
{
	int			n;
	int64	   *ids = sweep->find(max, 0, &n);
	Attempt		all = {sweep, ids, n};

	if (n == 0)
		return 0;
	if (try_to(&all) == NULL)
		return all.done;
	if (n == max)
		ids = with_some_behind(sweep, ids, &n);
	return try_each(sweep, ids, n, max);
}
