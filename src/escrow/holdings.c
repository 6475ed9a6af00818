/*
 * holdings.c
 *	  What the running transaction has taken and given of each resource, and how its end settles the counters
 *	  (escrow.c has the rules).
 *
 * Commit.  PostgreSQL calls back when the transaction's rows are visible to every new snapshot, and
 * before its locks go.  In flight falls by what was taken, which others then count as sold; available
 * rises by what was given and not taken again; then the pin goes.  A loader that finds the counter
 * unpinned takes its snapshot after that, and sees the rows.
 *
 * Abort, of a subtransaction too.  It calls back when the rows are aborted.  Available rises by what was
 * taken, in flight falls, gives are forgotten, then the pin goes.  Each level of subtransaction has its
 * own record of each resource; one that commits hands its records to its parent.
 *
 * All undoing is done in these callbacks, because the end of a session (FATAL) does not come by PG_TRY.
 * Therefore the local record is made first, with room for all that follows, then the pin is set and
 * recorded under a lock that keeps interrupts away, and a counter's change and its record stand next to
 * each other with nothing between them that can throw.  A prepared transaction would take its callback
 * away to another process: PREPARE TRANSACTION is refused.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/lock.h"
#include "escrow/gate.h"
#include "escrow/holdings.h"

/* A stack: levels never fall towards its top. */
static Holding *holdings = NULL;
static int	nholdings = 0;
static int	max_holdings = 0;
static HTAB *resources = NULL;

/* The counter that this process is counted as a waiter of, and the level that waits. */
static Counter *waiting_for = NULL;
static int	waiting_level = 0;
static int64 waiting_units = 0;	/* that it asks for */

static bool callbacks_registered = false;

void
holdings_begin_wait(const Holding *holding, int64 units)
{
	Counter    *counter = holding->resource->counter;

	SpinLockAcquire(&counter->mutex);
	counter->waiters++;
	counter->asked += units;
	SpinLockRelease(&counter->mutex);
	waiting_for = counter;
	waiting_level = holding->level;
	waiting_units = units;
}

void
holdings_end_wait(void)
{
	SpinLockAcquire(&waiting_for->mutex);
	waiting_for->waiters--;
	waiting_for->asked -= waiting_units;
	SpinLockRelease(&waiting_for->mutex);
	waiting_for = NULL;
}

int64
resource_taken(const Resource *resource)
{
	int64		taken = 0;

	for (int i = resource->newest; i >= 0; i = holdings[i].below)
		taken += holdings[i].taken;
	return taken;
}

/* A level takes out of gives of its own or of levels above it. */
int64
resource_unspent(const Resource *resource)
{
	int64		unspent = 0;

	for (int i = resource->newest; i >= 0; i = holdings[i].below)
		unspent += holdings[i].given - holdings[i].spent;
	return unspent;
}

/* Takes the record off the top of the stack, and with a resource's last record its pin.  Does not throw. */
static void
settle_top(bool committed)
{
	Holding    *holding = &holdings[--nholdings];
	Resource   *resource = holding->resource;
	Counter    *counter = resource->counter;

	resource->newest = holding->below;
	if (counter != NULL)
	{
		bool		wake;

		SpinLockAcquire(&counter->mutex);
		counter->in_flight -= holding->taken;
		counter->available += committed ? holding->given - holding->spent : holding->taken;
		if (committed)
		{
			counter->taken += holding->taken - holding->moved;
			counter->shared = counter->shared || holding->moved > 0;
			if (counter->elsewhere_at != 0)
				counter->elsewhere += holding->moved;
		}
		if (resource_taken(resource) == 0)
			counter_set_holder(counter, my_proc_number(), false);
		if (resource->newest < 0)
			counter->pins--;
		if (committed && (holding->taken > 0 || holding->given > 0))
			counter->unfolded++;
		wake = counter->waiters > 0;
		SpinLockRelease(&counter->mutex);
		if (wake)
			ConditionVariableBroadcast(&counter->changed);
	}
	if (resource->newest < 0)
		hash_search(resources, &resource->key, HASH_REMOVE, NULL);
}

static void
escrow_xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
			if (waiting_for != NULL)
				holdings_end_wait();
			while (nholdings > 0)
				settle_top(event == XACT_EVENT_COMMIT);
			break;
		default:
			break;
	}
}

/* A subtransaction that commits hands its records to its parent. */
static void
hand_up(int level)
{
	int			kept;
	int			first = nholdings;

	while (first > 0 && holdings[first - 1].level == level)
		first--;
	kept = first;
	for (int i = first; i < nholdings; i++)
	{
		Holding    *holding = &holdings[i];
		Holding    *parent = holding->below >= 0 ? &holdings[holding->below] : NULL;

		if (parent && parent->level == level - 1)
		{
			parent->taken += holding->taken;
			parent->moved += holding->moved;
			parent->given += holding->given;
			parent->spent += holding->spent;
			holding->resource->newest = holding->below;
			continue;
		}
		holding->level = level - 1;
		holding->resource->newest = kept;
		holdings[kept++] = *holding;
	}
	nholdings = kept;
}

static void
escrow_subxact_callback(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_COMMIT_SUB)
		hand_up(level);
	else if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		if (waiting_for != NULL && waiting_level >= level)
			holdings_end_wait();
		while (nholdings > 0 && holdings[nholdings - 1].level >= level)
			settle_top(false);
	}
}

static void
prepare_for_records(void)
{
	HASHCTL		info = {.keysize = sizeof(CounterKey), .entrysize = sizeof(Resource)};

	if (resources == NULL)
	{
		info.hcxt = TopMemoryContext;
		resources = hash_create("commerce escrow", 64, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	if (holdings == NULL)
	{
		holdings = MemoryContextAlloc(TopMemoryContext, 64 * sizeof(Holding));
		max_holdings = 64;
	}
	else if (nholdings == max_holdings)
	{
		holdings = repalloc_huge(holdings, 2 * (Size) max_holdings * sizeof(Holding));
		max_holdings *= 2;
	}
	if (!callbacks_registered)
	{
		RegisterXactCallback(escrow_xact_callback, NULL);
		RegisterSubXactCallback(escrow_subxact_callback, NULL);
		callbacks_registered = true;
	}
}

/*
 * Reads the rows into a pinned counter that is not loaded, unless somebody else has done so meanwhile.
 * Leaves it when the rows had to be rebased: this transaction then holds the gate against everybody.
 */
static void
load(Counter *counter, EscrowKind kind, int64 id)
{
	LockKind	lock = kind == ESCROW_STOCK ? COMMERCE_LOCK_LOAD_STOCK : COMMERCE_LOCK_LOAD_QUOTA;
	bool		loaded;

	lock_take(lock, id);
	SpinLockAcquire(&counter->mutex);
	loaded = counter->loaded;
	SpinLockRelease(&counter->mutex);
	if (!loaded)
	{
		uint64		generation = counters_generation();
		int64		units = rows_sum(kind, id, false);
		bool		shared = rows_are_shared(kind, id);

		if (!gate_foreign())
		{
			SpinLockAcquire(&counter->mutex);
			counter->available = units;
			counter->in_flight = 0;
			counter->generation = generation;
			counter->shared = shared || counter->elsewhere_at != 0;
			counter->loads++;
			counter->loaded = true;
			SpinLockRelease(&counter->mutex);
		}
	}
	lock_release(lock, id);
}

Holding *
holdings_open(EscrowKind kind, int64 id)
{
	int			level = GetCurrentTransactionNestLevel();
	CounterKey	key = {MyDatabaseId, rows_journal(kind), id};
	Resource   *resource;
	bool		found;
	bool		loaded;
	int			index;

	prepare_for_records();
	resource = hash_search(resources, &key, HASH_ENTER, &found);
	if (!found)
	{
		resource->counter = NULL;
		resource->newest = -1;
	}
	if (resource->newest < 0 || holdings[resource->newest].level < level)
	{
		Holding    *holding = &holdings[nholdings];

		memset(holding, 0, sizeof(Holding));
		holding->resource = resource;
		holding->level = level;
		holding->below = resource->newest;
		resource->newest = nholdings++;
	}
	index = resource->newest;

	if (resource->counter == NULL)
		counters_pin(&key, &resource->counter);
	SpinLockAcquire(&resource->counter->mutex);
	loaded = resource->counter->loaded;
	SpinLockRelease(&resource->counter->mutex);
	if (!loaded)
		load(resource->counter, kind, id);
	return &holdings[index];
}

Resource *
holdings_find(const CounterKey *key)
{
	return nholdings > 0 ? hash_search(resources, key, HASH_FIND, NULL) : NULL;
}
