/*
 * escrow.c
 *	  Taking and giving back units of what is limited, without a hot row: the escrow method (P. O'Neil,
 *	  "The Escrow Transactional Method", ACM TODS 11(4), 1986).
 *
 * The truth is append-only rows: stock_entries; coupon_issues and quota_entries.  They are checked against a counter in
 * shared memory, which knows the units that are available, and those in flight: taken by transactions
 * that have not ended.  Orders update no shared row, so they do not queue for one's lock.
 *
 * The invariant.  Take a moment at which no transaction is between its commit and its commit callback.
 * Then for each loaded counter
 *		available + in flight = sum of the committed journal rows.
 * Within that span available is too low (gives), or in flight too high (takes), never the other way
 * about: a taker can be told to wait or be refused late, and what is sold is always there.
 *
 * The one rule that keeps it: a journal row is written only while its counter is loaded and pinned by
 * the writing transaction, for takes and for gives.  The pin is given back in the commit or abort
 * callback (holdings.c); only an unpinned counter is loaded or evicted.  So a load never counts a row whose
 * transaction will still change the counter.  (A new product's first entry needs no pin: it is folded
 * from birth, and nobody else can know the product before it is committed.)
 *
 * Life of a counter.  Made unloaded when a transaction pins it first (counters.c).  Loaded, under
 * a heavyweight lock on the resource that is released at once, by reading the rows with a snapshot that
 * is taken after the lock; rows of the loader itself are left out, they enter through its callback.
 * A heavyweight lock because the loader may wait for a table's lock, which one of those who wait for the
 * load may hold: the deadlock must be found.  Then taken from and given to.  Stale when somebody else
 * has written the tables (gate.c): loaded again by the first that finds it unpinned.  Evicted for
 * another when idle.  Gone with the server.
 *
 * Waiting.  A take that available does not cover, but available and others' in flight do, waits for one
 * of them to end: first on the counter's condition variable, which any of them wakes; then, so that
 * deadlocks are found and pg_locks shows who blocks, for a share of a holder's virtual transaction lock,
 * as CREATE INDEX CONCURRENTLY waits.  That wait has a limit too, because another holder may end first.
 * Waiters at the boundary are not served in the order in which they came.
 *
 * After its own transaction has written past the extension, a take sums the rows: that transaction holds
 * the gate against everybody, and its commit makes the counters stale.
 *
 * Without shared memory (the library is not preloaded) the narrow row is locked until the transaction
 * ends, and the rows are summed.
 *
 * Lock order: gate; then the caller's, coupons before products, each by ascending id.  The load's lock
 * comes last.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/guc.h"
#include "base/lock_wait.h"
#include "escrow/counters.h"
#include "escrow/escrow.h"
#include "escrow/gate.h"
#include "escrow/holdings.h"
#include "escrow/rows.h"

#define SLEEP_MS		200		/* on the condition variable */

typedef enum TakeResult
{
	TAKEN,
	SHORT,						/* whatever becomes of the running transactions */
	NOT_NOW,					/* some of them may give back enough */
	ELSEWHERE,					/* here there are not enough; other cells have some, or may */
} TakeResult;

/* Takes units of a counter and records them; *available: how many there were. */
static TakeResult
try_take(Holding *holding, int64 units, int64 *available)
{
	Counter    *counter = holding->resource->counter;
	int64		mine = resource_taken(holding->resource);
	TimestampTz now = counter_now(counter);
	TakeResult	result;

	SpinLockAcquire(&counter->mutex);
	*available = counter->available;
	if (counter->available >= units)
	{
		counter->available -= units;
		counter->in_flight += units;
		counter_set_holder(counter, my_proc_number(), true);
		holding->taken += units;
		result = TAKEN;
	}
	else if (counter->available + counter->in_flight - mine >= units)
		result = NOT_NOW;
	else
	{
		int64		elsewhere = counter_elsewhere(counter, now);

		result = counter->available + counter->in_flight - mine + elsewhere < units ? SHORT : ELSEWHERE;
		if (result == SHORT)
			*available += elsewhere;
	}
	SpinLockRelease(&counter->mutex);
	return result;
}

static void
wait_for_transaction(const void *vxid)
{
	(void) VirtualXactLock(*(const VirtualTransactionId *) vxid, true);
}

/*
 * Waits for one of those that hold units of a counter, after the one that was waited for last, and
 * returns which; -1 when nobody does any more.
 */
static int
wait_for_holder(Counter *counter, int last, TimestampTz end)
{
	int			process = counter_find_holder(counter, last);
	VirtualTransactionId vxid;

	if (process < 0)
		return -1;
	GET_VXID_FROM_PGPROC(vxid, *GetPGProcByNumber(process));

	/* if it holds units still, that is its transaction, or a later one that holds some */
	if (VirtualTransactionIdIsValid(vxid) && counter_is_holder(counter, process))
		(void) lock_wait(wait_for_transaction, &vxid, end);
	return process;
}

/* How many ms a take sleeps on the counter before it looks again; 0: it does not. */
static long
sleep_after(TakeResult result, TimestampTz end, TimestampTz cells_end)
{
	long		left;

	if (result == NOT_NOW)
		return lock_wait_left(end, SLEEP_MS);
	if (result != ELSEWHERE)
		return 0;
	left = (long) ((cells_end - GetCurrentTimestamp()) / 1000);
	return left > 0 ? lock_wait_left(end, Min(left, SLEEP_MS)) : 0;
}

/*
 * Takes units as soon as others' ends allow it, or finds out that they will not; asks other cells for units, and waits
 * so many ms for them, unless that is below 0.
 */
static TakeResult
wait_and_take(Holding *holding, int64 units, int cell_wait, int64 *available)
{
	static uint32 wait_event = 0;
	Counter    *counter = holding->resource->counter;
	TimestampTz end = lock_wait_end();
	TimestampTz cells_end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), cell_wait);
	int			last = my_proc_number();
	long		ms;
	TakeResult	result;

	if (wait_event == 0)
		wait_event = new_wait_event("CommerceEscrow");
	holdings_begin_wait(holding, units);
	ConditionVariablePrepareToSleep(&counter->changed);
	for (;;)
	{
		result = try_take(holding, units, available);
		if (counter->shared && cell_wait >= 0 && (result == NOT_NOW || result == ELSEWHERE))
		{
			/* its broadcast ends the preparation to sleep, and what comes then would not wake us */
			counters_want(counter);
			ConditionVariablePrepareToSleep(&counter->changed);
			result = try_take(holding, units, available);
		}
		ms = sleep_after(result, end, cells_end);
		if (ms == 0)
			break;
		if (!ConditionVariableTimedSleep(&counter->changed, ms, wait_event) || result != NOT_NOW)
			continue;
		ConditionVariableCancelSleep();
		last = wait_for_holder(counter, last < 0 ? my_proc_number() : last, end);
		ConditionVariablePrepareToSleep(&counter->changed);
	}
	ConditionVariableCancelSleep();
	holdings_end_wait();
	return result;
}

/* escrow_take(), which waits for units of other cells as wait_and_take() does; *elsewhere: they may have some. */
static bool
take(EscrowKind kind, int64 id, int64 units, int cell_wait, int64 *available, bool *elsewhere)
{
	Holding    *holding = NULL;
	int64		own;
	TakeResult	result = TAKEN;

	*elsewhere = false;
	if (!counters_exist())
	{
		*available = rows_lock_and_sum(kind, id);
		return *available >= units;
	}
	if (!gate_foreign())
		holding = holdings_open(kind, id);
	if (gate_foreign())
	{
		*available = rows_sum(kind, id, true);
		return *available >= units;
	}

	own = resource_unspent(holding->resource);
	own = Min(units, own);
	if (own < units)
	{
		result = try_take(holding, units - own, available);
		if (result == NOT_NOW || (result == ELSEWHERE && cell_wait >= 0))
			result = wait_and_take(holding, units - own, cell_wait, available);
	}
	if (result == TAKEN)
		holding->spent += own;
	else
		*available += own;
	*elsewhere = (result == ELSEWHERE);
	return result == TAKEN;
}

bool
escrow_take(EscrowKind kind, int64 id, int64 units, int64 *available)
{
	bool		elsewhere;

	return take(kind, id, units, -1, available, &elsewhere);
}

bool
escrow_take_anywhere(EscrowKind kind, int64 id, int64 units, int64 *available)
{
	bool		elsewhere;

	if (take(kind, id, units, commerce_cell_wait, available, &elsewhere))
		return true;
	if (elsewhere)
		raise_error(ERROR_SERVICE_BUSY, D_REASON(REASON_UNITS_ELSEWHERE));
	return false;
}

int64
escrow_take_up_to(EscrowKind kind, int64 id, int64 units)
{
	Holding    *holding = NULL;
	Counter    *counter;
	int64		own;
	int64		taken;

	if (!counters_exist())
	{
		taken = rows_lock_and_sum(kind, id);
		return Max(Min(units, taken), 0);
	}
	if (!gate_foreign())
		holding = holdings_open(kind, id);
	if (gate_foreign())
	{
		taken = rows_sum(kind, id, true);
		return Max(Min(units, taken), 0);
	}

	own = resource_unspent(holding->resource);
	own = Min(units, own);
	counter = holding->resource->counter;
	SpinLockAcquire(&counter->mutex);
	taken = Max(Min(units - own, counter->available), 0);
	counter->available -= taken;
	counter->in_flight += taken;
	if (taken > 0)
		counter_set_holder(counter, my_proc_number(), true);
	holding->taken += taken;
	holding->moved += taken;
	SpinLockRelease(&counter->mutex);
	holding->spent += own;
	return own + taken;
}

void
escrow_give(EscrowKind kind, int64 id, int64 units)
{
	if (!counters_exist())
		rows_lock(kind, id);
	else if (!gate_foreign())
	{
		Holding    *holding = holdings_open(kind, id);

		holding->given += units;
	}
}

/*
 * What is known of a resource without waiting: the units that this transaction can have at once, and those
 * that others may give back, and those that other cells have or may have.  False when there is no counter to rely on.
 */
static bool
look(EscrowKind kind, int64 id, int64 *available, int64 *others, int64 *elsewhere)
{
	CounterKey	key = {MyDatabaseId, InvalidOid, id};
	Resource   *resource;

	/* without a counter nothing is known before the row is locked */
	if (!counters_exist() || gate_foreign())
		return false;
	key.journal = rows_journal(kind);
	if (!counters_look(&key, available, others, elsewhere))
		return false;
	resource = holdings_find(&key);
	if (resource)
	{
		*others -= resource_taken(resource);
		*available += resource_unspent(resource);
	}
	return true;
}

bool
escrow_surely_short(EscrowKind kind, int64 id, int64 units, int64 *available)
{
	int64		others;
	int64		elsewhere;

	if (!look(kind, id, available, &others, &elsewhere) || *available + others + elsewhere >= units)
		return false;
	*available += elsewhere;
	return true;
}

bool
escrow_short_now(EscrowKind kind, int64 id, int64 units)
{
	int64		available;
	int64		others;
	int64		elsewhere;

	return look(kind, id, &available, &others, &elsewhere) && available < units;
}
