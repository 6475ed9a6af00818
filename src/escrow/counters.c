/*
 * counters.c
 *	  The table of counters in shared memory: finding, making and evicting them.  What the figures mean
 *	  is escrow.c's.
 *
 * A fixed array of counters, and a hash table from key to counter.  The table's LWLock is held shared to
 * find a counter and pin it, exclusive to make one; a pin is given back with the counter's mutex alone.
 * So a counter that is seen unpinned under the exclusive lock stays unpinned, and may be given to another
 * key.  Nothing in shared memory belongs to a process or outlives the server: after a crash the counters
 * are loaded from the journals again.
 *
 * When a foreign writer commits, a number per database grows (databases that fall on the same number
 * load more often, nothing worse).  An unpinned counter that was loaded under another number is not
 * loaded any more.  One that is pinned is right all the same: its pinners have held the gate since
 * before it was loaded or found fresh, so no foreign writer of their database can have committed.
 *
 * Lock order: table lock, then a counter's mutex.  Nothing is waited for under either.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/guc.h"
#include "base/sql.h"
#include "escrow/counters.h"

#define GENERATIONS		64
#define BITS_PER_WORD	64
#define HINT_LIFE_MS	1000	/* how long it counts what other cells were said to have */

PG_FUNCTION_INFO_V1(commerce_escrow_counters);

typedef struct CounterTable
{
	LWLock	   *lock;
	int			used;			/* counters of the array that have a key */
	int			hand;			/* where the search for one to evict goes on */
	int64		evictions;
	pg_atomic_uint64 hints;		/* ever given: a server of shops of one cell has none */
	pg_atomic_uint64 wants;		/* grows with each want */
	ConditionVariable wanted;
	pg_atomic_uint64 lost;		/* evictions of counters that wanted folding */
	pg_atomic_uint64 generations[GENERATIONS];
} CounterTable;

typedef struct CounterPlace
{
	CounterKey	key;
	int			index;
} CounterPlace;

static CounterTable *table = NULL;
static HTAB *places = NULL;
static char *counters = NULL;	/* the array; see counter_at() */
static uint64 wants_seen = 0;	/* by this process, which has told of them */

static int
holder_words(void)
{
	return (MaxBackends + BITS_PER_WORD - 1) / BITS_PER_WORD;
}

static Size
counter_size(void)
{
	return CACHELINEALIGN(offsetof(Counter, holders) + holder_words() * sizeof(uint64));
}

static Counter *
counter_at(int index)
{
	return (Counter *) (counters + index * counter_size());
}

void
counters_request_memory(void)
{
	RequestAddinShmemSpace(CACHELINEALIGN(sizeof(CounterTable)));
	RequestAddinShmemSpace(add_size(PG_CACHE_LINE_SIZE, mul_size(commerce_escrow_max_resources, counter_size())));
	RequestAddinShmemSpace(hash_estimate_size(commerce_escrow_max_resources, sizeof(CounterPlace)));
	RequestNamedLWLockTranche("commerce_escrow", 1);
}

void
counters_start_memory(void)
{
	HASHCTL		info = {.keysize = sizeof(CounterKey), .entrysize = sizeof(CounterPlace)};
	bool		found;

	table = ShmemInitStruct("commerce escrow", sizeof(CounterTable), &found);
	if (!found)
	{
		table->lock = &GetNamedLWLockTranche("commerce_escrow")->lock;
		table->used = 0;
		table->hand = 0;
		table->evictions = 0;
		pg_atomic_init_u64(&table->hints, 0);
		pg_atomic_init_u64(&table->wants, 0);
		ConditionVariableInit(&table->wanted);
		pg_atomic_init_u64(&table->lost, 0);
		for (int i = 0; i < GENERATIONS; i++)
			pg_atomic_init_u64(&table->generations[i], 1);
	}
	counters = (char *) CACHELINEALIGN(ShmemInitStruct("commerce escrow counters",
													   PG_CACHE_LINE_SIZE + commerce_escrow_max_resources * counter_size(),
													   &found));
	places = init_shared_hash("commerce escrow keys", commerce_escrow_max_resources, &info, HASH_ELEM | HASH_BLOBS);
}

bool
counters_exist(void)
{
	return table != NULL;
}

static pg_atomic_uint64 *
own_generation(void)
{
	return &table->generations[MyDatabaseId % GENERATIONS];
}

uint64
counters_generation(void)
{
	return table ? pg_atomic_read_u64(own_generation()) : 0;
}

void
counters_make_stale(void)
{
	if (table)
		pg_atomic_fetch_add_u64(own_generation(), 1);
}

/* Whether an unpinned counter's figures still hold; the caller has its mutex. */
static bool
is_current(const Counter *counter)
{
	return counter->loaded && (counter->pins > 0 || counter->generation == counters_generation());
}

static void
pin(Counter *counter, Counter **pinned)
{
	SpinLockAcquire(&counter->mutex);
	counter->loaded = is_current(counter);
	counter->pins++;
	counter->used_lately = true;
	SpinLockRelease(&counter->mutex);
	*pinned = counter;
}

/*
 * Finds a counter for a new key: one never used, or the next that is not pinned and has not been used
 * since the hand came by last.  Under the exclusive lock; -1: all are pinned.
 */
static int
find_room(void)
{
	if (table->used < commerce_escrow_max_resources)
	{
		Counter    *counter = counter_at(table->used);

		memset(counter, 0, counter_size());
		SpinLockInit(&counter->mutex);
		ConditionVariableInit(&counter->changed);
		return table->used++;
	}

	/* the first time round takes away the marks of use */
	for (int step = 0; step < 2 * commerce_escrow_max_resources; step++)
	{
		int			index = table->hand;
		Counter    *counter = counter_at(index);
		bool		idle;

		table->hand = (table->hand + 1) % commerce_escrow_max_resources;
		SpinLockAcquire(&counter->mutex);
		idle = (counter->pins == 0 && !counter->used_lately);
		counter->used_lately = false;
		SpinLockRelease(&counter->mutex);
		if (idle)
		{
			hash_search(places, &counter->key, HASH_REMOVE, NULL);
			table->evictions++;
			if (counter->unfolded > 0)
				pg_atomic_fetch_add_u64(&table->lost, 1);
			return index;
		}
	}
	return -1;
}

/* Under the exclusive lock; NULL: all are pinned. */
static Counter *
make_counter(const CounterKey *key)
{
	int			index = find_room();
	CounterPlace *place;
	Counter    *counter;

	if (index < 0)
		return NULL;
	counter = counter_at(index);
	SpinLockAcquire(&counter->mutex);
	counter->key = *key;
	counter->loaded = false;
	counter->available = counter->in_flight = 0;
	counter->loads = 0;
	counter->shared = counter->perhaps_empty = false;
	counter->elsewhere = counter->elsewhere_at = 0;
	counter->asked = counter->wanted = counter->taken = 0;
	counter->unfolded = 0;
	SpinLockRelease(&counter->mutex);

	/* there are as many places as counters */
	place = hash_search(places, key, HASH_ENTER, NULL);
	place->index = index;
	return counter;
}

void
counters_pin(const CounterKey *key, Counter **pinned)
{
	CounterPlace *place;
	Counter    *counter;

	LWLockAcquire(table->lock, LW_SHARED);
	place = hash_search(places, key, HASH_FIND, NULL);
	if (place)
		pin(counter_at(place->index), pinned);
	LWLockRelease(table->lock);
	if (place)
		return;

	LWLockAcquire(table->lock, LW_EXCLUSIVE);
	place = hash_search(places, key, HASH_FIND, NULL);
	counter = place ? counter_at(place->index) : make_counter(key);
	if (counter)
		pin(counter, pinned);
	LWLockRelease(table->lock);
	if (counter == NULL)
		raise_error_hint(ERROR_SERVICE_BUSY, "Consider raising commerce.escrow_max_resources.",
						 D_REASON(REASON_COUNTERS_IN_USE));
}

TimestampTz
counter_now(const Counter *counter)
{
	return counter->shared ? GetCurrentTimestamp() : 0;
}

int64
counter_elsewhere(const Counter *counter, TimestampTz now)
{
	if (!counter->shared)
		return 0;
	/* now is 0 where it became shared since that was asked */
	if (counter->elsewhere_at == 0)
		return UNKNOWN_ELSEWHERE;
	return now - counter->elsewhere_at < HINT_LIFE_MS * INT64CONST(1000) ? counter->elsewhere : UNKNOWN_ELSEWHERE;
}

bool
counters_look(const CounterKey *key, int64 *available, int64 *in_flight, int64 *elsewhere)
{
	CounterPlace *place;
	bool		known = false;

	LWLockAcquire(table->lock, LW_SHARED);
	place = hash_search(places, key, HASH_FIND, NULL);
	if (place)
	{
		Counter    *counter = counter_at(place->index);
		TimestampTz now = counter_now(counter);

		SpinLockAcquire(&counter->mutex);
		known = is_current(counter);
		*available = counter->available;
		*in_flight = counter->in_flight;
		*elsewhere = counter_elsewhere(counter, now);
		counter->used_lately = true;
		SpinLockRelease(&counter->mutex);
	}
	LWLockRelease(table->lock);
	return known;
}

bool
counters_hint(const CounterKey *key, int64 units)
{
	TimestampTz now = GetCurrentTimestamp();
	CounterPlace *place;
	bool		fold = false;

	if (table == NULL)
		return false;
	pg_atomic_write_u64(&table->hints, 1);
	LWLockAcquire(table->lock, LW_SHARED);
	place = hash_search(places, key, HASH_FIND, NULL);
	if (place)
	{
		Counter    *counter = counter_at(place->index);
		bool		wake;

		SpinLockAcquire(&counter->mutex);
		counter->shared = true;
		counter->elsewhere = units;
		counter->elsewhere_at = now;
		wake = counter->waiters > 0;
		if (units == 0 && counter->perhaps_empty)
		{
			fold = true;
			counter->perhaps_empty = false;
			counter->unfolded++;
		}
		SpinLockRelease(&counter->mutex);
		if (wake)
			ConditionVariableBroadcast(&counter->changed);
	}
	LWLockRelease(table->lock);
	return fold;
}

int64
counters_hinted(const CounterKey *key)
{
	CounterPlace *place;
	int64		units = 0;

	if (table == NULL || pg_atomic_read_u64(&table->hints) == 0)
		return 0;
	LWLockAcquire(table->lock, LW_SHARED);
	place = hash_search(places, key, HASH_FIND, NULL);
	if (place)
	{
		Counter    *counter = counter_at(place->index);

		SpinLockAcquire(&counter->mutex);
		units = counter->elsewhere;
		SpinLockRelease(&counter->mutex);
	}
	LWLockRelease(table->lock);
	return units;
}

static int
used_counters(void)
{
	int			used;

	LWLockAcquire(table->lock, LW_SHARED);
	used = table->used;
	LWLockRelease(table->lock);
	return used;
}

int
counters_to_fold(Oid journal, int64 least, int64 **ids, int64 **sold_out, int *nsold_out)
{
	int			nids = 0;
	int			used = used_counters();

	*ids = MemoryContextAllocHuge(CurrentMemoryContext, used * sizeof(int64));
	*sold_out = MemoryContextAllocHuge(CurrentMemoryContext, used * sizeof(int64));
	*nsold_out = 0;
	for (int i = 0; i < used; i++)
	{
		Counter    *counter = counter_at(i);
		int64		id;
		bool		empty;
		bool		due;
		TimestampTz now = counter_now(counter);

		/* a key changes under the mutex as well; one that is not current waits until it is loaded again */
		SpinLockAcquire(&counter->mutex);
		id = counter->key.id;
		empty = counter->available == 0 && counter->in_flight == 0;
		due = counter->key.database == MyDatabaseId && counter->key.journal == journal && is_current(counter) &&
			counter->unfolded > 0 && (empty || counter->unfolded >= least);
		if (due)
			counter->unfolded = 0;
		/* what has sold out here has not sold out while other cells have some, or may */
		if (due && empty && counter_elsewhere(counter, now) > 0)
		{
			counter->perhaps_empty = true;
			empty = false;
		}
		SpinLockRelease(&counter->mutex);
		if (due)
			(*ids)[nids++] = id;
		if (due && empty)
			(*sold_out)[(*nsold_out)++] = id;
	}
	return nids;
}

void
counters_fold_again(const CounterKey *key)
{
	CounterPlace *place;

	LWLockAcquire(table->lock, LW_SHARED);
	place = hash_search(places, key, HASH_FIND, NULL);
	if (place)
	{
		Counter    *counter = counter_at(place->index);

		SpinLockAcquire(&counter->mutex);
		counter->unfolded++;
		SpinLockRelease(&counter->mutex);
	}
	LWLockRelease(table->lock);
}

uint64
counters_lost(void)
{
	return table ? pg_atomic_read_u64(&table->lost) : 0;
}

void
counters_want(Counter *counter)
{
	SpinLockAcquire(&counter->mutex);
	counter->wanted = Max(counter->wanted, counter->asked);
	SpinLockRelease(&counter->mutex);
	pg_atomic_fetch_add_u64(&table->wants, 1);
	ConditionVariableBroadcast(&table->wanted);
}

/* The wants that there are now. */
static int
collect_wants(Want *wants, int most)
{
	int			n = 0;

	for (int i = 0; i < most; i++)
	{
		Counter    *counter = counter_at(i);

		SpinLockAcquire(&counter->mutex);
		if (counter->wanted > 0 && counter->key.database == MyDatabaseId)
		{
			wants[n++] = (Want) {counter->key, counter->wanted, counter->available};
			counter->wanted = 0;
		}
		SpinLockRelease(&counter->mutex);
	}
	return n;
}

int
counters_take_wants(long wait_ms, Want **wants)
{
	static uint32 wait_event = 0;
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait_ms);
	int			n = 0;

	if (wait_event == 0)
		wait_event = new_wait_event("CommerceWants");
	ConditionVariablePrepareToSleep(&table->wanted);
	for (;;)
	{
		uint64		seen = pg_atomic_read_u64(&table->wants);
		int			used = used_counters();
		long		left;

		if (seen != wants_seen)
		{
			*wants = MemoryContextAllocHuge(CurrentMemoryContext, used * sizeof(Want));
			n = collect_wants(*wants, used);
			wants_seen = seen;
			/* those of another database wake us, too */
			if (n == 0)
				pfree(*wants);
		}
		left = (long) ((end - GetCurrentTimestamp()) / 1000);
		if (n > 0 || left <= 0)
			break;
		(void) ConditionVariableTimedSleep(&table->wanted, left, wait_event);
	}
	ConditionVariableCancelSleep();
	return n;
}

void
counter_set_holder(Counter *counter, int process, bool holds)
{
	uint64		bit = UINT64CONST(1) << (process % BITS_PER_WORD);

	if (holds)
		counter->holders[process / BITS_PER_WORD] |= bit;
	else
		counter->holders[process / BITS_PER_WORD] &= ~bit;
}

bool
counter_is_holder(Counter *counter, int process)
{
	bool		holds;

	SpinLockAcquire(&counter->mutex);
	holds = (counter->holders[process / BITS_PER_WORD] >> (process % BITS_PER_WORD)) & 1;
	SpinLockRelease(&counter->mutex);
	return holds;
}

int
counter_find_holder(Counter *counter, int after)
{
	int			found = -1;

	for (int i = 1; i <= MaxBackends && found < 0; i++)
	{
		int			process = (after + i) % MaxBackends;

		if (process != my_proc_number() && counter_is_holder(counter, process))
			found = process;
	}
	return found;
}

/*
 * escrow_counters()
 *
 * Rows (journal regclass, id, available, in_flight, pins, waiters, loads, evictions, taken) of this
 * database's counters; available is null while a counter is not loaded.
 */
Datum
commerce_escrow_counters(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int			used;

	InitMaterializedSRF(fcinfo, 0);
	if (table == NULL)
		return (Datum) 0;
	used = used_counters();
	for (int i = 0; i < used; i++)
	{
		Counter    *counter = counter_at(i);
		Counter		copy;
		bool		current;
		Datum		values[9];
		bool		nulls[9] = {false};

		SpinLockAcquire(&counter->mutex);
		memcpy(&copy, counter, sizeof(Counter));
		current = is_current(counter);
		SpinLockRelease(&counter->mutex);
		if (copy.key.database != MyDatabaseId)
			continue;

		values[0] = ObjectIdGetDatum(copy.key.journal);
		values[1] = Int64GetDatum(copy.key.id);
		values[2] = Int64GetDatum(copy.available);
		nulls[2] = !current;
		values[3] = Int64GetDatum(copy.in_flight);
		values[4] = Int32GetDatum(copy.pins);
		values[5] = Int32GetDatum(copy.waiters);
		values[6] = Int64GetDatum(copy.loads);
		values[7] = Int64GetDatum(table->evictions);
		values[8] = Int64GetDatum(copy.taken);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
