/*
 * counters.h
 *	  The table of counters in shared memory.
 */
#ifndef COMMERCE_COUNTERS_H
#define COMMERCE_COUNTERS_H

#include "datatype/timestamp.h"
#include "storage/condition_variable.h"
#include "storage/spin.h"

/* The journal's OID tells stock from quota, and an extension that was dropped from one created after it. */
typedef struct CounterKey
{
	Oid			database;
	Oid			journal;
	int64		id;
} CounterKey;

typedef struct Counter
{
	CounterKey	key;			/* changes only while pins = 0, under the table's lock */
	ConditionVariable changed;	/* available or in_flight has changed */

	slock_t		mutex;			/* guards what follows */
	bool		loaded;
	bool		used_lately;	/* since the evicting hand came by */
	int			pins;			/* transactions that keep it here; what is pinned is loaded or being loaded */
	int			waiters;
	int64		available;		/* units */
	int64		in_flight;		/* units taken by transactions that have not ended */
	uint64		generation;		/* that it was loaded in */
	int64		loads;
	bool		shared;			/* other cells may have units of it, too */
	bool		perhaps_empty;	/* found empty by a fold, and not known whether other cells are */
	int64		elsewhere;		/* units that other cells have, as the mover said last */
	TimestampTz elsewhere_at;	/* when it did; 0: never */
	int64		asked;			/* units that those ask for who wait for units of other cells */
	int64		wanted;			/* the most of that since the mover was told last */
	int64		taken;			/* units that orders and claims took for good, since it got its place */
	int64		unfolded;		/* transactions that wrote journal rows since the last fold, about */
	uint64		holders[FLEXIBLE_ARRAY_MEMBER];	/* bit per process: has units of in_flight */
} Counter;

/* Asks for shared memory, and fills it: called by the hooks of commerce.c. */
extern void counters_request_memory(void);
extern void counters_start_memory(void);

/* Whether there is shared memory: the library was preloaded. */
extern bool counters_exist(void);

/*
 * Pins a key's counter, made if need be, and stores it in *pinned, after which nothing can throw until
 * it has been stored.  The counter may have to be loaded.  Raises SERVICE_BUSY when all are pinned.
 */
extern void counters_pin(const CounterKey *key, Counter **pinned);

/*
 * Copies a counter's figures, and how many units of other cells can be counted on; false when there is none that can
 * be relied on.
 */
extern bool counters_look(const CounterKey *key, int64 *available, int64 *in_flight, int64 *elsewhere);

/*
 * How many units of other cells a take can count on: those that they had a moment before now, or, when that is not
 * known, UNKNOWN_ELSEWHERE.  The caller has the mutex.
 */
#define UNKNOWN_ELSEWHERE	(PG_INT64_MAX / 4)
extern int64 counter_elsewhere(const Counter *counter, TimestampTz now);

/* The time for that, which is not looked for where there is one cell. */
extern TimestampTz counter_now(const Counter *counter);

/*
 * Notes how many units other cells have, if the key has a counter; when they have none, those who wait for them are
 * woken.  Answers whether the counter is to be folded again.
 */
extern bool counters_hint(const CounterKey *key, int64 units);

/* The units that other cells had as they were last heard of; 0: never, or there is no counter. */
extern int64 counters_hinted(const CounterKey *key);

/* Wakes those who wait for wants, with what is asked of a counter. */
extern void counters_want(Counter *counter);

/* What is wanted of a counter. */
typedef struct Want
{
	CounterKey	key;
	int64		units;
	int64		available;
} Want;

/* Takes this database's wants out of the counters, in a palloc'd array, waiting so many ms for the first of them. */
extern int	counters_take_wants(long wait_ms, Want **wants);

/*
 * All of this database's counters are to be loaded again.  Called while nobody else can have pinned one
 * of them: the gate is held against all.  Does not throw.
 */
extern void counters_make_stale(void);

/* Grows whenever somebody else has written; 0 without shared memory. */
extern uint64 counters_generation(void);

/*
 * Collects the ids of a journal's counters in this database that want folding, in a palloc'd array: those
 * of which at least `least` transactions wrote since the last fold, and those that have just sold out,
 * which are in *sold_out too.  They count as folded from now on.
 */
extern int	counters_to_fold(Oid journal, int64 least, int64 **ids, int64 **sold_out, int *nsold_out);

/* A resource was not folded to the end. */
extern void counters_fold_again(const CounterKey *key);

/* Grows when a counter that wanted folding was evicted. */
extern uint64 counters_lost(void);

/* A process's bit; the caller holds the counter's mutex. */
extern void counter_set_holder(Counter *counter, int process, bool holds);

/* A process other than this one that has units of the counter, or -1; starts looking after `after`. */
extern int	counter_find_holder(Counter *counter, int after);
extern bool counter_is_holder(Counter *counter, int process);

#endif
